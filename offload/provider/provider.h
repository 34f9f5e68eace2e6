/*
 * What the parts of the provider share: the provider context, keys, and the function tables.
 *
 * libcrypto -> decoder.c (a key reference becomes a key) -> keymgmt.c (what a key tells of itself)
 * -> signature.c (a signature is asked of the hook). provider.c is the entry and joins them.
 *
 * A process has several libcryptos, and each that reads the configuration initialises this file
 * anew: so everything hangs on the provider context, and every key knows its own.
 */
#ifndef OFFLOAD_PROVIDER_H
#define OFFLOAD_PROVIDER_H

#include <stdatomic.h>
#include <stddef.h>

#include "keyref.h"
#include "openssl_abi.h"

struct provider {
    const abi_core_handle *core;
    abi_core_bio_read_ex_fn *bio_read;
    abi_core_new_error_fn *new_error; /* NULL if the library offers none */
    abi_core_vset_error_fn *vset_error;
};

/* Reasons of failure, as libcrypto's error queue shows them. */
enum offload_reason {
    OFFLOAD_REASON_OUT_OF_MEMORY = 1,
    OFFLOAD_REASON_MALFORMED_REFERENCE,
    OFFLOAD_REASON_NO_PRIVATE_KEY,
    OFFLOAD_REASON_NO_KEY,
    OFFLOAD_REASON_DIGEST,
    OFFLOAD_REASON_PARAMETER,
    OFFLOAD_REASON_ROOM,
    OFFLOAD_REASON_NO_HOOK,
    OFFLOAD_REASON_SIGN,
    OFFLOAD_REASON_SIGNATURE_LENGTH
};

/* Puts the reason on libcrypto's error queue. Returns 0, for `return offload_raise(...)`. */
int offload_raise(const struct provider *provider, enum offload_reason reason);

/* ENSURE, with the reason told. Only for functions of the int domain. */
#define ENSURE_REASON(condition, provider, reason)                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return offload_raise((provider), (reason));                                            \
        }                                                                                          \
    } while (0)

/* What is the same for all keys of one algorithm. */
struct algorithm {
    const char *group;        /* of an EC key, else NULL */
    int bits;                 /* 0 for RSA: the modulus tells */
    int security_bits;        /* likewise */
    size_t signature_max;     /* likewise */
    int signature_is_exact;   /* whether every signature is as long as the longest */
    const char *mandatory_digest; /* "" where the algorithm hashes by itself, else NULL */
};

/* A key that signs elsewhere. Immutable and counted: many connections share it. */
struct key {
    atomic_size_t references;
    const struct provider *provider;
    struct algorithm traits;
    struct offload_keyref reference; /* RSA numbers in native byte order */
};

/* Returns a key with one reference, or NULL with the reason raised. */
struct key *offload_key_new(const struct provider *provider,
                            const struct offload_keyref *reference);
void offload_key_retain(struct key *key);
/* NULL is allowed. */
void offload_key_release(struct key *key);

extern const struct abi_algorithm offload_keymgmts[];
extern const struct abi_algorithm offload_signatures[];
extern const struct abi_algorithm offload_decoders[];

/* Name of the one signature algorithm of this provider; see signature.c. */
#define OFFLOAD_SIGNATURE_NAME "OFFLOAD"
#define OFFLOAD_PROPERTIES "provider=offload"

#endif
