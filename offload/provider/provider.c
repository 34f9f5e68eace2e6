/*
 * The provider: keys that are elsewhere, for a libcrypto that wants them here.
 *
 * Why C: OpenSSL asks a provider for a signature through C functions, and neither pyOpenSSL nor
 * the ssl module has a call-back for private-key operations. Everything that is policy (who signs,
 * when, for whom) is behind the hook, in Python. The provider signs and does nothing else: no
 * decryption, no raw RSA, no key exchange, no private key to export.
 */
#include "provider.h"

#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "hook.h"
#include "parameter.h"

static _Atomic(offload_sign_fn *) sign_hook;

void offload_set_sign(offload_sign_fn *sign)
{
    atomic_store(&sign_hook, sign);
}

offload_sign_fn *offload_get_sign(void)
{
    return atomic_load(&sign_hook);
}

static const struct abi_item reasons[] = {
    {OFFLOAD_REASON_OUT_OF_MEMORY, "out of memory"},
    {OFFLOAD_REASON_MALFORMED_REFERENCE, "malformed key reference"},
    {OFFLOAD_REASON_NO_PRIVATE_KEY, "the private key is not in this process"},
    {OFFLOAD_REASON_NO_KEY, "no key set"},
    {OFFLOAD_REASON_DIGEST, "digest not supported with this key"},
    {OFFLOAD_REASON_PARAMETER, "signature parameter not supported with this key"},
    {OFFLOAD_REASON_ROOM, "no room for the signature"},
    {OFFLOAD_REASON_NO_HOOK, "no sign hook set"},
    {OFFLOAD_REASON_SIGN, "the key operation failed"},
    {OFFLOAD_REASON_SIGNATURE_LENGTH, "the key operation gave a signature of a wrong length"},
    {0, NULL},
};

/* libcrypto wants a va_list even where the format is absent, and only a variadic can have one. */
static void set_error(const struct provider *provider, uint32_t reason, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    provider->vset_error(provider->core, reason, format, arguments);
    va_end(arguments);
}

int offload_raise(const struct provider *provider, enum offload_reason reason)
{
    if (provider->new_error != NULL && provider->vset_error != NULL) {
        provider->new_error(provider->core);
        set_error(provider, (uint32_t)reason, NULL);
    }
    return 0;
}

static const struct abi_algorithm *query_operation(void *context, int operation, int *no_store)
{
    (void)context;
    *no_store = 0;
    switch (operation) {
    case ABI_OPERATION_KEYMGMT:
        return offload_keymgmts;
    case ABI_OPERATION_SIGNATURE:
        return offload_signatures;
    case ABI_OPERATION_DECODER:
        return offload_decoders;
    default:
        return NULL;
    }
}

static const struct abi_item *get_reason_strings(void *context)
{
    (void)context;
    return reasons;
}

static const struct abi_param *gettable_params(void *context)
{
    static const struct abi_param gettable[] = {
        {"name", ABI_PARAM_UTF8_PTR, NULL, 0, 0},
        {"status", ABI_PARAM_INTEGER, NULL, sizeof(int), 0},
        PARAMETER_END,
    };

    (void)context;
    return gettable;
}

/* Asked by `openssl list -providers`, which wants text by pointer. */
static int get_params(void *context, struct abi_param *params)
{
    (void)context;
    for (; params != NULL && params->key != NULL; params++) {
        if (strcmp(params->key, "name") == 0) {
            ENSURE(offload_parameter_put_pointer(params, "offload: keys that are elsewhere"));
        } else if (strcmp(params->key, "status") == 0) {
            ENSURE(offload_parameter_put_int(params, 1));
        }
    }
    return 1;
}

static void teardown(void *context)
{
    free(context);
}

static const struct abi_dispatch functions[] = {
    {ABI_PROVIDER_TEARDOWN, (void (*)(void))teardown},
    {ABI_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {ABI_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
    {ABI_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation},
    {ABI_PROVIDER_GET_REASON_STRINGS, (void (*)(void))get_reason_strings},
    {0, NULL},
};

static void take_core_functions(struct provider *provider, const struct abi_dispatch *offered)
{
    for (; offered->id != 0; offered++) {
        switch (offered->id) {
        case ABI_CORE_BIO_READ_EX:
            provider->bio_read = (abi_core_bio_read_ex_fn *)offered->function;
            break;
        case ABI_CORE_NEW_ERROR:
            provider->new_error = (abi_core_new_error_fn *)offered->function;
            break;
        case ABI_CORE_VSET_ERROR:
            provider->vset_error = (abi_core_vset_error_fn *)offered->function;
            break;
        default:
            break;
        }
    }
}

/* The name and the signature that libcrypto looks for in a module (provider-base(7)). */
__attribute__((visibility("default"))) int
OSSL_provider_init(const abi_core_handle *core, const struct abi_dispatch *offered,
                   const struct abi_dispatch **offers, void **context);

int OSSL_provider_init(const abi_core_handle *core, const struct abi_dispatch *offered,
                       const struct abi_dispatch **offers, void **context)
{
    ENSURE(offered != NULL && offers != NULL && context != NULL);
    struct provider *provider = calloc(1, sizeof *provider);
    ENSURE(provider != NULL);
    provider->core = core;
    take_core_functions(provider, offered);
    if (provider->bio_read == NULL) {
        free(provider);
        return 0;
    }
    *offers = functions;
    *context = provider;
    return 1;
}
