/*
 * Key references: which key signs, without the key.
 *
 * A reference is a PEM block labelled OFFLOAD KEY REFERENCE. Its base64 body is, integers
 * big-endian:
 *
 *     version     1 byte    1
 *     algorithm   1 byte    enum offload_algorithm
 *     key id     20 bytes   subject key identifier
 *     length      2 bytes   of the public key
 *     public key            RSA: modulus; EC: uncompressed point; others: raw public key
 *     length      1 byte    of the public exponent: 0 unless RSA
 *     exponent              RSA: public exponent
 *
 * and nothing after it. There is no secret in it. The parser neither allocates nor does I/O.
 */
#ifndef OFFLOAD_KEYREF_H
#define OFFLOAD_KEYREF_H

#include <stddef.h>

#define OFFLOAD_KEYREF_BEGIN "-----BEGIN OFFLOAD KEY REFERENCE-----"
#define OFFLOAD_KEYREF_END "-----END OFFLOAD KEY REFERENCE-----"

#define OFFLOAD_KEY_ID_SIZE 20U
/* ML-DSA-87's public key (FIPS 204, table 2), the longest there is. */
#define OFFLOAD_PUBLIC_KEY_MAX 2592U
#define OFFLOAD_EXPONENT_MAX 8U
/* Smaller moduli are refused by every TLS client of today, larger ones by OpenSSL's servers. */
#define OFFLOAD_RSA_MODULUS_MIN 256U
#define OFFLOAD_RSA_MODULUS_MAX 1024U

/* The longest body, and a bound for its PEM form: 4/3 of it, a line end for every 64, the labels. */
#define OFFLOAD_KEYREF_BODY_MAX                                                                    \
    (1U + 1U + OFFLOAD_KEY_ID_SIZE + 2U + OFFLOAD_PUBLIC_KEY_MAX + 1U + OFFLOAD_EXPONENT_MAX)
#define OFFLOAD_KEYREF_PEM_MAX 4096U

enum offload_algorithm {
    OFFLOAD_RSA = 1,
    OFFLOAD_P256 = 2,
    OFFLOAD_P384 = 3,
    OFFLOAD_P521 = 4,
    OFFLOAD_ED25519 = 5,
    OFFLOAD_MLDSA44 = 6,
    OFFLOAD_MLDSA65 = 7,
    OFFLOAD_MLDSA87 = 8
};

struct offload_keyref {
    enum offload_algorithm algorithm;
    unsigned char key_id[OFFLOAD_KEY_ID_SIZE];
    unsigned char public_key[OFFLOAD_PUBLIC_KEY_MAX];
    size_t public_key_len;
    unsigned char exponent[OFFLOAD_EXPONENT_MAX];
    size_t exponent_len;
};

/* Whether the first len bytes at pem begin with the label of a key reference. */
int offload_keyref_recognise(const unsigned char *pem, size_t len);

/*
 * Reads one key reference that fills pem wholly.
 * Returns 1, or 0 for anything that is not exactly a key reference; *keyref is then undefined.
 */
int offload_keyref_parse(struct offload_keyref *keyref, const unsigned char *pem, size_t len);

#endif
