/*
 * Decoders: a key reference in PEM becomes a key.
 *
 * libcrypto asks every decoder that reads PEM about every PEM it is to load, so text of another
 * label is let pass after its first bytes: success with nothing decoded, as the interface has it
 * (provider-decoder(7)). A decoder makes keys of one type, hence one for each.
 */
#include <string.h>

#include "guard.h"
#include "provider.h"

/* Reads at most size bytes, less at the end of the text. The library has no other word for that. */
static size_t read_up_to(const struct provider *provider, abi_core_bio *bio, unsigned char *to,
                         size_t size)
{
    size_t used = 0;

    while (used < size) {
        size_t read = 0;

        if (provider->bio_read(bio, to + used, size - used, &read) != 1 || read == 0 ||
            read > size - used) {
            break;
        }
        used += read;
    }
    return used;
}

/* Gives the key away: the call-back takes it out of the slot, or leaves it there to be released. */
static int deliver(struct key *key, const char *type, abi_callback *callback, void *arg)
{
    int object = ABI_OBJECT_PKEY;
    const struct abi_param params[] = {
        {"type", ABI_PARAM_INTEGER, &object, sizeof object, 0},
        {"data-type", ABI_PARAM_UTF8_STRING, (void *)(uintptr_t)type, strlen(type), 0},
        {"reference", ABI_PARAM_OCTET_STRING, &key, sizeof key, 0},
        {NULL, 0, NULL, 0, 0},
    };

    const int result = callback(params, arg);
    offload_key_release(key);
    return result;
}

static const char *type_of(enum offload_algorithm algorithm)
{
    switch (algorithm) {
    case OFFLOAD_RSA:
        return "RSA";
    case OFFLOAD_P256:
    case OFFLOAD_P384:
    case OFFLOAD_P521:
        return "EC";
    case OFFLOAD_ED25519:
        return "ED25519";
    case OFFLOAD_MLDSA44:
        return "ML-DSA-44";
    case OFFLOAD_MLDSA65:
        return "ML-DSA-65";
    case OFFLOAD_MLDSA87:
        return "ML-DSA-87";
    }
    return "";
}

static int decode(const struct provider *provider, abi_core_bio *bio, const char *type,
                  abi_callback *callback, void *arg)
{
    const size_t label = strlen(OFFLOAD_KEYREF_BEGIN);
    unsigned char pem[OFFLOAD_KEYREF_PEM_MAX + 1]; /* one more, to see that it ends in time */
    struct offload_keyref reference;

    size_t len = read_up_to(provider, bio, pem, label);
    if (!offload_keyref_recognise(pem, len)) {
        return 1;
    }
    len += read_up_to(provider, bio, pem + len, sizeof pem - len);
    ENSURE_REASON(offload_keyref_parse(&reference, pem, len), provider,
                  OFFLOAD_REASON_MALFORMED_REFERENCE);
    if (strcmp(type_of(reference.algorithm), type) != 0) {
        return 1;
    }
    struct key *key = offload_key_new(provider, &reference);
    ENSURE(key != NULL);
    return deliver(key, type, callback, arg);
}

/* The decoder has no state of its own: its context is the provider's. */
static void *newctx(void *context)
{
    return context;
}

static void freectx(void *context)
{
    (void)context;
}

/* A reference stands for a private key: who asks for a public one is not given it. */
static int does_selection(void *context, int selection)
{
    (void)context;
    return selection == 0 || (selection & ABI_SELECT_PRIVATE_KEY) != 0;
}

/* The interface does not tell a decoder under which name it was chosen: one function for each. */
#define DECODER(function, type)                                                                    \
    static int decode_##function(void *context, abi_core_bio *bio, int selection,                  \
                                 abi_callback *callback, void *arg, void *passphrase,              \
                                 void *passphrase_arg)                                             \
    {                                                                                              \
        (void)selection;                                                                           \
        (void)passphrase;                                                                          \
        (void)passphrase_arg;                                                                      \
        ENSURE(context != NULL && bio != NULL && callback != NULL);                                \
        return decode(context, bio, type, callback, arg);                                          \
    }                                                                                              \
    static const struct abi_dispatch functions_##function[] = {                                    \
        {ABI_DECODER_NEWCTX, (void (*)(void))newctx},                                              \
        {ABI_DECODER_FREECTX, (void (*)(void))freectx},                                            \
        {ABI_DECODER_DOES_SELECTION, (void (*)(void))does_selection},                              \
        {ABI_DECODER_DECODE, (void (*)(void))decode_##function},                                   \
        {0, NULL},                                                                                 \
    };

DECODER(rsa, "RSA")
DECODER(ec, "EC")
DECODER(ed25519, "ED25519")
DECODER(mldsa44, "ML-DSA-44")
DECODER(mldsa65, "ML-DSA-65")
DECODER(mldsa87, "ML-DSA-87")

#define PEM OFFLOAD_PROPERTIES ",input=pem"

const struct abi_algorithm offload_decoders[] = {
    {"RSA", PEM, functions_rsa, ""},
    {"EC", PEM, functions_ec, ""},
    {"ED25519", PEM, functions_ed25519, ""},
    {"ML-DSA-44", PEM, functions_mldsa44, ""},
    {"ML-DSA-65", PEM, functions_mldsa65, ""},
    {"ML-DSA-87", PEM, functions_mldsa87, ""},
    {NULL, NULL, NULL, NULL},
};
