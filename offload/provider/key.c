/* Keys: a key reference that libcrypto holds as a private key. */
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "parameter.h"
#include "provider.h"

#define RSA_SECURITY_LEVELS (sizeof rsa_security / sizeof rsa_security[0])

/* NIST SP 800-57 part 1, table 2, and SP 800-56B, appendix D for 4096 bits and up. */
static const struct {
    int bits;
    int security_bits;
} rsa_security[] = {{8192, 200}, {7680, 192}, {6144, 176}, {4096, 152}, {3072, 128}, {2048, 112}};

/*
 * The longest ECDSA signature is a SEQUENCE of two INTEGERs, each one byte longer than the group's
 * order where its top bit is set. ML-DSA: FIPS 204, tables 1 and 2.
 */
static const struct algorithm traits_of[] = {
    [OFFLOAD_RSA] = {NULL, 0, 0, 0, 1, NULL},
    [OFFLOAD_P256] = {"prime256v1", 256, 128, 72, 0, NULL},
    [OFFLOAD_P384] = {"secp384r1", 384, 192, 104, 0, NULL},
    [OFFLOAD_P521] = {"secp521r1", 521, 256, 139, 0, NULL},
    [OFFLOAD_ED25519] = {NULL, 256, 128, 64, 1, ""},
    [OFFLOAD_MLDSA44] = {NULL, 10496, 128, 2420, 1, ""},
    [OFFLOAD_MLDSA65] = {NULL, 15616, 192, 3309, 1, ""},
    [OFFLOAD_MLDSA87] = {NULL, 20736, 256, 4627, 1, ""},
};

static int rsa_security_bits(int bits)
{
    for (size_t i = 0; i < RSA_SECURITY_LEVELS; i++) {
        if (bits >= rsa_security[i].bits) {
            return rsa_security[i].security_bits;
        }
    }
    return 0;
}

static void set_rsa_traits(struct key *key)
{
    const size_t len = key->reference.public_key_len;

    key->traits.bits = (int)(len * 8);
    key->traits.security_bits = rsa_security_bits(key->traits.bits);
    key->traits.signature_max = len;
}

static void set_rsa_numbers(struct key *key, const struct offload_keyref *from)
{
    offload_number_to_native(key->reference.public_key, from->public_key, from->public_key_len);
    offload_number_to_native(key->reference.exponent, from->exponent, from->exponent_len);
}

struct key *offload_key_new(const struct provider *provider,
                            const struct offload_keyref *reference)
{
    struct key *key = calloc(1, sizeof *key);

    if (key == NULL) {
        (void)offload_raise(provider, OFFLOAD_REASON_OUT_OF_MEMORY);
        return NULL;
    }
    atomic_init(&key->references, 1);
    key->provider = provider;
    key->traits = traits_of[reference->algorithm];
    key->reference = *reference;
    if (reference->algorithm == OFFLOAD_RSA) {
        set_rsa_traits(key);
        set_rsa_numbers(key, reference);
    }
    return key;
}

void offload_key_retain(struct key *key)
{
    (void)atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
}

void offload_key_release(struct key *key)
{
    if (key == NULL) {
        return;
    }
    if (atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) == 1) {
        free(key);
    }
}
