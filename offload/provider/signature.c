/*
 * Signatures: the one operation of a key that is elsewhere.
 *
 * Only the one-shot form over the whole content is offered: the content is what a worker must see
 * to know that it signs a TLS handshake. A signature over a bare digest, or over content given in
 * pieces, is not, and verification is the library's own, with the certificate's key.
 *
 * One algorithm under a name of its own, to which every key refers, in place of "RSA", "ECDSA" and
 * so on: libcrypto then finds it at once, where among namesakes it would first try the default
 * provider's, and other keys of the process never meet it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guard.h"
#include "hook.h"
#include "parameter.h"
#include "provider.h"

/* Longer than any name below; a longer one is none of them. */
#define NAME_SIZE 32

#define TLS_1_2 0x0303
#define TLS_1_3 0x0304

struct digest {
    const char *names[3]; /* the first is what the hook is told; the library has them all */
    int size;
};

/* The digests of TLS 1.2 and 1.3 signatures, but for SHA-1 and SHA-224 (RFC 9155). */
static const struct digest digests[] = {
    {{"SHA2-256", "SHA256", "SHA-256"}, 32},
    {{"SHA2-384", "SHA384", "SHA-384"}, 48},
    {{"SHA2-512", "SHA512", "SHA-512"}, 64},
};

struct signature {
    const struct provider *provider;
    struct key *key;             /* NULL until initialised; holds a reference */
    const struct digest *digest; /* NULL where the algorithm hashes by itself */
    int padding;
};

static const struct digest *find_digest(const char *name)
{
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        for (size_t j = 0; j < sizeof digests[i].names / sizeof digests[i].names[0]; j++) {
            if (strcasecmp(name, digests[i].names[j]) == 0) {
                return &digests[i];
            }
        }
    }
    return NULL;
}

static void *newctx(void *context, const char *properties)
{
    const struct provider *provider = context;
    struct signature *signature = calloc(1, sizeof *signature);

    (void)properties;
    if (signature == NULL) {
        (void)offload_raise(provider, OFFLOAD_REASON_OUT_OF_MEMORY);
        return NULL;
    }
    signature->provider = provider;
    return signature;
}

static void freectx(void *context)
{
    struct signature *signature = context;

    if (signature == NULL) {
        return;
    }
    offload_key_release(signature->key);
    free(signature);
}

static void *dupctx(void *context)
{
    const struct signature *from = context;

    ENSURE_PTR(from != NULL);
    struct signature *to = malloc(sizeof *to);
    if (to == NULL) {
        (void)offload_raise(from->provider, OFFLOAD_REASON_OUT_OF_MEMORY);
        return NULL;
    }
    *to = *from;
    if (to->key != NULL) {
        offload_key_retain(to->key);
    }
    return to;
}

static int is_rsa(const struct signature *signature)
{
    return signature->key != NULL && signature->key->reference.algorithm == OFFLOAD_RSA;
}

static int set_padding(struct signature *signature, const struct abi_param *parameter)
{
    char name[NAME_SIZE];
    int padding = OFFLOAD_PADDING_NONE;

    ENSURE(is_rsa(signature));
    if (parameter->type == ABI_PARAM_UTF8_STRING) {
        ENSURE(offload_parameter_get_text(parameter, name, sizeof name));
        if (strcmp(name, "pkcs1") == 0) {
            padding = OFFLOAD_PADDING_PKCS1;
        } else if (strcmp(name, "pss") == 0) {
            padding = OFFLOAD_PADDING_PSS;
        }
    } else {
        ENSURE(offload_parameter_get_int(parameter, &padding));
    }
    ENSURE(padding == OFFLOAD_PADDING_PKCS1 || padding == OFFLOAD_PADDING_PSS);
    signature->padding = padding;
    return 1;
}

/* TLS has one salt length: the digest's (RFC 8446, 4.2.3). The hook is not told of any other. */
static int set_salt_length(struct signature *signature, const struct abi_param *parameter)
{
    char name[NAME_SIZE];
    int length = 0;

    ENSURE(is_rsa(signature) && signature->digest != NULL);
    if (parameter->type == ABI_PARAM_UTF8_STRING) {
        ENSURE(offload_parameter_get_text(parameter, name, sizeof name));
        return strcmp(name, "digest") == 0;
    }
    ENSURE(offload_parameter_get_int(parameter, &length));
    return length == ABI_RSA_PSS_SALT_LENGTH_DIGEST || length == signature->digest->size;
}

/* The digest is given at initialisation; naming it again, or for MGF1, is only to agree. */
static int confirm_digest(struct signature *signature, const struct abi_param *parameter)
{
    char name[NAME_SIZE];

    ENSURE(signature->digest != NULL);
    ENSURE(offload_parameter_get_text(parameter, name, sizeof name));
    return find_digest(name) == signature->digest;
}

static int confirm_mgf1_digest(struct signature *signature, const struct abi_param *parameter)
{
    ENSURE(is_rsa(signature));
    return confirm_digest(signature, parameter);
}

/* OpenSSL 4 says which protocol it signs for. The content tells that too, and the hook sees it. */
static int confirm_tls_version(struct signature *signature, const struct abi_param *parameter)
{
    int version = 0;

    (void)signature;
    ENSURE(offload_parameter_get_int(parameter, &version));
    return version == TLS_1_2 || version == TLS_1_3;
}

static const struct {
    const char *name;
    int (*set)(struct signature *, const struct abi_param *);
} settings[] = {
    {"tls-version", confirm_tls_version},
    {"pad-mode", set_padding},
    {"saltlen", set_salt_length},
    {"digest", confirm_digest},
    {"mgf1-digest", confirm_mgf1_digest},
};

static int set_one(struct signature *signature, const struct abi_param *parameter)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (strcmp(parameter->key, settings[i].name) == 0) {
            return settings[i].set(signature, parameter);
        }
    }
    /* What is not known might change the meaning of the signature: the hook would not be told. */
    return 0;
}

static int set_ctx_params(void *context, const struct abi_param *params)
{
    struct signature *signature = context;

    ENSURE(signature != NULL);
    if (params == NULL) {
        return 1;
    }
    for (; params->key != NULL; params++) {
        ENSURE_REASON(set_one(signature, params), signature->provider, OFFLOAD_REASON_PARAMETER);
    }
    return 1;
}

static const struct abi_param *settable_ctx_params(void *context, void *provider)
{
    static const struct abi_param settable[] = {
        {"tls-version", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        {"pad-mode", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        {"pad-mode", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"saltlen", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        {"saltlen", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"digest", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        {"mgf1-digest", ABI_PARAM_UTF8_STRING, NULL, 0, 0},
        PARAMETER_END,
    };

    (void)context;
    (void)provider;
    return settable;
}

static int set_key(struct signature *signature, struct key *key)
{
    if (key != NULL) {
        offload_key_retain(key);
        offload_key_release(signature->key);
        signature->key = key;
    }
    return signature->key != NULL;
}

static int set_digest(struct signature *signature, const char *name)
{
    const int has_name = name != NULL && name[0] != '\0';

    signature->digest = NULL;
    if (signature->key->traits.mandatory_digest != NULL) {
        return !has_name;
    }
    ENSURE(has_name);
    signature->digest = find_digest(name);
    return signature->digest != NULL;
}

/* key may be NULL, to start again with the same one. */
static int digest_sign_init(void *context, const char *digest, void *key,
                            const struct abi_param *params)
{
    struct signature *signature = context;

    ENSURE(signature != NULL);
    ENSURE_REASON(set_key(signature, key), signature->provider, OFFLOAD_REASON_NO_KEY);
    ENSURE_REASON(set_digest(signature, digest), signature->provider, OFFLOAD_REASON_DIGEST);
    signature->padding = is_rsa(signature) ? OFFLOAD_PADDING_PKCS1 : OFFLOAD_PADDING_NONE;
    return set_ctx_params(signature, params);
}

static int is_length_right(const struct algorithm *traits, size_t len, size_t size)
{
    /* The first is also what keeps a hook that does not keep to its room from being believed. */
    ENSURE(len > 0 && len <= size && len <= traits->signature_max);
    return !traits->signature_is_exact || len == traits->signature_max;
}

static int ask(const struct signature *signature, unsigned char *sig, size_t *len, size_t size,
               const unsigned char *content, size_t content_len)
{
    const struct key *key = signature->key;
    struct offload_request request = {
        .key_id = key->reference.key_id,
        .key_id_len = sizeof key->reference.key_id,
        .padding = signature->padding,
        .tbs = content,
        .tbs_len = content_len,
    };
    size_t used = 0;

    offload_sign_fn *sign = offload_get_sign();
    ENSURE_REASON(sign != NULL, signature->provider, OFFLOAD_REASON_NO_HOOK);
    if (signature->digest != NULL) {
        const char *name = signature->digest->names[0];
        ENSURE(strlen(name) < sizeof request.digest);
        memcpy(request.digest, name, strlen(name) + 1);
    }
    ENSURE_REASON(sign(&request, sig, &used, size) == 1, signature->provider,
                  OFFLOAD_REASON_SIGN);
    ENSURE_REASON(is_length_right(&key->traits, used, size), signature->provider,
                  OFFLOAD_REASON_SIGNATURE_LENGTH);
    *len = used;
    return 1;
}

/* With no sig, tells how much room one needs. */
static int digest_sign(void *context, unsigned char *sig, size_t *len, size_t size,
                       const unsigned char *content, size_t content_len)
{
    const struct signature *signature = context;

    ENSURE(signature != NULL && len != NULL);
    ENSURE_REASON(signature->key != NULL, signature->provider, OFFLOAD_REASON_NO_KEY);
    if (sig == NULL) {
        *len = signature->key->traits.signature_max;
        return 1;
    }
    ENSURE_REASON(size >= signature->key->traits.signature_max, signature->provider,
                  OFFLOAD_REASON_ROOM);
    ENSURE(content != NULL || content_len == 0);
    return ask(signature, sig, len, size, content, content_len);
}

static const struct abi_dispatch functions[] = {
    {ABI_SIGNATURE_NEWCTX, (void (*)(void))newctx},
    {ABI_SIGNATURE_FREECTX, (void (*)(void))freectx},
    {ABI_SIGNATURE_DUPCTX, (void (*)(void))dupctx},
    {ABI_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))digest_sign_init},
    {ABI_SIGNATURE_DIGEST_SIGN, (void (*)(void))digest_sign},
    {ABI_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},
    {ABI_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))settable_ctx_params},
    {0, NULL},
};

const struct abi_algorithm offload_signatures[] = {
    {OFFLOAD_SIGNATURE_NAME, OFFLOAD_PROPERTIES, functions, ""},
    {NULL, NULL, NULL, NULL},
};
