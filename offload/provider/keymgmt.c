/*
 * Key management: what a key tells of itself, and to whom it gives its public half.
 *
 * A key comes from the decoder alone: it is not generated, imported or changed. Its names are the
 * library's own (RSA, EC, ...), because TLS chooses certificate and scheme by them. libcrypto
 * compares a key with the certificate's, which another provider holds, by an export of the public
 * half; it never gets another half.
 */
#include <string.h>

#include "guard.h"
#include "parameter.h"
#include "provider.h"

/* Takes over the key that the decoder left at *reference (provider-object(7)). */
static void *load(const void *reference, size_t size)
{
    struct key **slot = (struct key **)(uintptr_t)reference;

    ENSURE_PTR(slot != NULL && size == sizeof *slot);
    struct key *key = *slot;
    *slot = NULL;
    return key;
}

static void release(void *key)
{
    offload_key_release(key);
}

/* As far as libcrypto is concerned the key is whole: it can do all that a private key is for. */
static int has(const void *key, int selection)
{
    (void)selection;
    return key != NULL;
}

static int match(const void *left, const void *right, int selection)
{
    const struct key *a = left;
    const struct key *b = right;

    (void)selection;
    ENSURE(a != NULL && b != NULL);
    ENSURE(a->reference.algorithm == b->reference.algorithm);
    ENSURE(a->reference.public_key_len == b->reference.public_key_len);
    ENSURE(a->reference.exponent_len == b->reference.exponent_len);
    ENSURE(memcmp(a->reference.exponent, b->reference.exponent, a->reference.exponent_len) == 0);
    return memcmp(a->reference.public_key, b->reference.public_key,
                  a->reference.public_key_len) == 0;
}

static int put_size(const struct key *key, struct abi_param *parameter)
{
    if (strcmp(parameter->key, "bits") == 0) {
        return offload_parameter_put_int(parameter, key->traits.bits);
    }
    if (strcmp(parameter->key, "security-bits") == 0) {
        return offload_parameter_put_int(parameter, key->traits.security_bits);
    }
    return offload_parameter_put_int(parameter, (int)key->traits.signature_max);
}

static int put_digest(const struct key *key, struct abi_param *parameter)
{
    const int is_mandatory = strcmp(parameter->key, "mandatory-digest") == 0;

    /* What does not apply to a key is left as it is: libcrypto sees it as not given. */
    if (key->traits.mandatory_digest != NULL) {
        return !is_mandatory || offload_parameter_put_text(parameter, key->traits.mandatory_digest);
    }
    return is_mandatory || offload_parameter_put_text(parameter, "SHA256");
}

static int put_public(const struct key *key, struct abi_param *parameter)
{
    const struct offload_keyref *reference = &key->reference;
    const int is_rsa = reference->algorithm == OFFLOAD_RSA;

    if (strcmp(parameter->key, "n") == 0) {
        return !is_rsa || offload_parameter_put_number(parameter, reference->public_key,
                                                       reference->public_key_len);
    }
    if (strcmp(parameter->key, "e") == 0) {
        return !is_rsa || offload_parameter_put_number(parameter, reference->exponent,
                                                       reference->exponent_len);
    }
    if (strcmp(parameter->key, "group") == 0) {
        return key->traits.group == NULL ||
               offload_parameter_put_text(parameter, key->traits.group);
    }
    return is_rsa || offload_parameter_put_bytes(parameter, reference->public_key,
                                                 reference->public_key_len);
}

static const struct {
    const char *name;
    int (*put)(const struct key *, struct abi_param *);
} tells[] = {
    {"bits", put_size},
    {"security-bits", put_size},
    {"max-size", put_size},
    {"default-digest", put_digest},
    {"mandatory-digest", put_digest},
    {"n", put_public},
    {"e", put_public},
    {"group", put_public},
    {"pub", put_public},
};

static int get_params(void *context, struct abi_param *params)
{
    const struct key *key = context;

    ENSURE(key != NULL);
    if (params == NULL) {
        return 1;
    }
    for (; params->key != NULL; params++) {
        for (size_t i = 0; i < sizeof tells / sizeof tells[0]; i++) {
            if (strcmp(params->key, tells[i].name) == 0) {
                ENSURE(tells[i].put(key, params));
            }
        }
    }
    return 1;
}

static const struct abi_param *gettable_params(void *context)
{
    static const struct abi_param gettable[] = {
        {"bits", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        {"security-bits", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        {"max-size", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        {"default-digest", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"mandatory-digest", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"n", ABI_PARAM_UNSIGNED_INTEGER, NULL, 0, 0},
        {"e", ABI_PARAM_UNSIGNED_INTEGER, NULL, 0, 0},
        {"group", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"pub", ABI_PARAM_OCTET_STRING, NULL, 0, 0},
        PARAMETER_END,
    };

    (void)context;
    return gettable;
}

/* The cast is for libcrypto's struct, which has one kind of pointer for both directions. */
static struct abi_param give(const char *name, unsigned int type, const void *data, size_t size)
{
    return (struct abi_param){name, type, (void *)(uintptr_t)data, size, 0};
}

static int export_public(void *context, int selection, abi_callback *callback, void *arg)
{
    const struct key *key = context;
    struct abi_param params[3] = {PARAMETER_END, PARAMETER_END, PARAMETER_END};

    ENSURE(key != NULL && callback != NULL);
    ENSURE_REASON((selection & ABI_SELECT_PRIVATE_KEY) == 0, key->provider,
                  OFFLOAD_REASON_NO_PRIVATE_KEY);
    const struct offload_keyref *reference = &key->reference;
    const unsigned char *public_key = reference->public_key;
    if (reference->algorithm == OFFLOAD_RSA) {
        params[0] = give("n", ABI_PARAM_UNSIGNED_INTEGER, public_key, reference->public_key_len);
        params[1] = give("e", ABI_PARAM_UNSIGNED_INTEGER, reference->exponent,
                         reference->exponent_len);
        return callback(params, arg);
    }
    params[0] = give("pub", ABI_PARAM_OCTET_STRING, public_key, reference->public_key_len);
    if (key->traits.group != NULL) {
        const char *group = key->traits.group;
        params[1] = give("group", ABI_PARAM_UTF8_STRING, group, strlen(group));
    }
    return callback(params, arg);
}

static const struct abi_param *export_types(int selection)
{
    static const struct abi_param nothing[] = {PARAMETER_END};
    static const struct abi_param public_half[] = {
        {"n", ABI_PARAM_UNSIGNED_INTEGER, NULL, 0, 0},
        {"e", ABI_PARAM_UNSIGNED_INTEGER, NULL, 0, 0},
        {"group", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"pub", ABI_PARAM_OCTET_STRING, NULL, 0, 0},
        PARAMETER_END,
    };

    return (selection & ABI_SELECT_PRIVATE_KEY) != 0 ? nothing : public_half;
}

static const char *query_operation_name(int operation)
{
    return operation == ABI_OPERATION_SIGNATURE ? OFFLOAD_SIGNATURE_NAME : NULL;
}

static const struct abi_dispatch functions[] = {
    {ABI_KEYMGMT_LOAD, (void (*)(void))load},
    {ABI_KEYMGMT_FREE, (void (*)(void))release},
    {ABI_KEYMGMT_HAS, (void (*)(void))has},
    {ABI_KEYMGMT_MATCH, (void (*)(void))match},
    {ABI_KEYMGMT_GET_PARAMS, (void (*)(void))get_params},
    {ABI_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {ABI_KEYMGMT_EXPORT, (void (*)(void))export_public},
    {ABI_KEYMGMT_EXPORT_TYPES, (void (*)(void))export_types},
    {ABI_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))query_operation_name},
    {0, NULL},
};

/* Names and object identifiers as the library's own providers have them, so that both are one. */
const struct abi_algorithm offload_keymgmts[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OFFLOAD_PROPERTIES, functions, ""},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", OFFLOAD_PROPERTIES, functions, ""},
    {"ED25519:1.3.101.112", OFFLOAD_PROPERTIES, functions, ""},
    {"ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44", OFFLOAD_PROPERTIES, functions, ""},
    {"ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65", OFFLOAD_PROPERTIES, functions, ""},
    {"ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87", OFFLOAD_PROPERTIES, functions, ""},
    {NULL, NULL, NULL, NULL},
};
