/*
 * Drives the provider as a libcrypto would, through its tables alone, for the sanitizers.
 *
 *     harness REFERENCE...     key references, one PEM file each, all of different keys
 *
 * Ends with 0, or aborts at the first thing that is not as it must be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook.h"
#include "keyref.h"
#include "openssl_abi.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define END {NULL, 0, NULL, 0, 0}
#define SIGNATURE_ROOM 5000

int OSSL_provider_init(const abi_core_handle *core, const struct abi_dispatch *offered,
                       const struct abi_dispatch **offers, void **context);

/* A core of our own: a BIO over memory that gives a few bytes at a time, and an error counter. */
struct bio {
    const unsigned char *data;
    size_t left;
};

static unsigned int errors;
static uint32_t last_reason;

static int bio_read_ex(abi_core_bio *handle, void *to, size_t size, size_t *read)
{
    struct bio *bio = handle;
    size_t len = size < 100 ? size : 100;

    len = len < bio->left ? len : bio->left;
    memcpy(to, bio->data, len);
    bio->data += len;
    bio->left -= len;
    *read = len;
    return len > 0;
}

static void new_error(const abi_core_handle *core)
{
    (void)core;
    errors++;
}

static void vset_error(const abi_core_handle *core, uint32_t reason, const char *format,
                       va_list arguments)
{
    (void)core;
    (void)format;
    (void)arguments;
    last_reason = reason;
}

static const struct abi_dispatch core_functions[] = {
    {ABI_CORE_BIO_READ_EX, (void (*)(void))bio_read_ex},
    {ABI_CORE_NEW_ERROR, (void (*)(void))new_error},
    {ABI_CORE_VSET_ERROR, (void (*)(void))vset_error},
    {0, NULL},
};

typedef const struct abi_algorithm *query_fn(void *, int, int *);
typedef void free_fn(void *);
typedef int decode_fn(void *, abi_core_bio *, int, abi_callback *, void *, void *, void *);
typedef void *load_fn(const void *, size_t);
typedef int get_params_fn(void *, struct abi_param *);
typedef int export_fn(void *, int, abi_callback *, void *);
typedef int match_fn(const void *, const void *, int);
typedef void *newctx_fn(void *, const char *);
typedef void *dup_fn(void *);
typedef int init_fn(void *, const char *, void *, const struct abi_param *);
typedef int sign_fn(void *, unsigned char *, size_t *, size_t, const unsigned char *, size_t);
typedef int set_params_fn(void *, const struct abi_param *);
typedef const struct abi_item *reasons_fn(void *);

struct instance {
    const struct abi_dispatch *functions;
    void *context;
};

static void (*find(const struct abi_dispatch *table, int id))(void)
{
    for (; table->id != 0; table++) {
        if (table->id == id) {
            return table->function;
        }
    }
    return NULL;
}

static const struct abi_algorithm *query(const struct instance *instance, int operation)
{
    int no_store = 1;
    query_fn *function = (query_fn *)find(instance->functions, ABI_PROVIDER_QUERY_OPERATION);
    const struct abi_algorithm *algorithms = function(instance->context, operation, &no_store);

    MUST(no_store == 0);
    return algorithms;
}

static struct instance start(void)
{
    struct instance instance = {NULL, NULL};

    MUST(OSSL_provider_init(NULL, core_functions, &instance.functions, &instance.context) == 1);
    return instance;
}

static void stop(const struct instance *instance)
{
    ((free_fn *)find(instance->functions, ABI_PROVIDER_TEARDOWN))(instance->context);
}

/* What the decoder delivered, and the algorithm that is to hold it. */
struct delivery {
    const struct instance *instance;
    const struct abi_dispatch *keymgmt;
    void *key;
    int refuse;
};

static const struct abi_dispatch *keymgmt_of(const struct instance *instance, const char *type)
{
    const struct abi_algorithm *algorithm = query(instance, ABI_OPERATION_KEYMGMT);

    for (; algorithm->names != NULL; algorithm++) {
        const size_t len = strlen(type);
        if (strncmp(algorithm->names, type, len) == 0 && algorithm->names[len] == ':') {
            return algorithm->implementation;
        }
    }
    return NULL;
}

static int take_key(const struct abi_param *params, void *arg)
{
    struct delivery *delivery = arg;

    MUST(strcmp(params[1].key, "data-type") == 0 && strcmp(params[2].key, "reference") == 0);
    if (delivery->refuse) {
        return 0;
    }
    delivery->keymgmt = keymgmt_of(delivery->instance, params[1].data);
    MUST(delivery->keymgmt != NULL);
    load_fn *load = (load_fn *)find(delivery->keymgmt, ABI_KEYMGMT_LOAD);
    MUST(load(params[2].data, params[2].data_size - 1) == NULL);
    delivery->key = load(params[2].data, params[2].data_size);
    return delivery->key != NULL;
}

/* Offers the text to every decoder, as libcrypto does. Returns how many refused it. */
static int decode(struct delivery *delivery, const unsigned char *pem, size_t len)
{
    const struct abi_algorithm *decoder = query(delivery->instance, ABI_OPERATION_DECODER);
    int refused = 0;

    for (; decoder->names != NULL; decoder++) {
        decode_fn *function = (decode_fn *)find(decoder->implementation, ABI_DECODER_DECODE);
        struct bio bio = {pem, len};
        refused += function(delivery->instance->context, &bio, ABI_SELECT_PRIVATE_KEY, take_key,
                            delivery, NULL, NULL) != 1;
    }
    return refused;
}

static void release(const struct delivery *delivery)
{
    ((free_fn *)find(delivery->keymgmt, ABI_KEYMGMT_FREE))(delivery->key);
}

/* Every parameter that a key tells, into every amount of room: exactly sized, for the sanitizer. */
static void get_all(const struct delivery *delivery)
{
    get_params_fn *get = (get_params_fn *)find(delivery->keymgmt, ABI_KEYMGMT_GET_PARAMS);
    const struct abi_param *gettable =
        ((const struct abi_param *(*)(void *))find(delivery->keymgmt,
                                                   ABI_KEYMGMT_GETTABLE_PARAMS))(NULL);

    for (; gettable->key != NULL; gettable++) {
        struct abi_param ask[2] = {*gettable, END};
        ask[0].data = NULL;
        MUST(get(delivery->key, ask) == 1);
        const size_t needed = ask[0].return_size;
        for (size_t size = 1; size <= needed + 9; size += size < 16 ? 1 : needed / 3 + 1) {
            ask[0].data = malloc(size);
            ask[0].data_size = size;
            MUST(ask[0].data != NULL);
            const int done = get(delivery->key, ask);
            MUST(!done || ask[0].return_size <= size || needed == 0);
            free(ask[0].data);
        }
        ask[0].type = 99;
        ask[0].data = NULL;
        MUST(get(delivery->key, ask) == 0 || needed == 0);
    }
}

static int see_public(const struct abi_param *params, void *arg)
{
    size_t *seen = arg;

    for (; params->key != NULL; params++) {
        MUST(params->data != NULL && params->data_size > 0);
        MUST(strcmp(params->key, "priv") != 0 && strcmp(params->key, "d") != 0);
        (*seen)++;
    }
    return 1;
}

static void export_it(const struct delivery *delivery)
{
    export_fn *export_key = (export_fn *)find(delivery->keymgmt, ABI_KEYMGMT_EXPORT);
    size_t seen = 0;

    MUST(export_key(delivery->key, ABI_SELECT_PUBLIC_KEY, see_public, &seen) == 1 && seen > 0);
    seen = 0;
    MUST(export_key(delivery->key, ABI_SELECT_PRIVATE_KEY | ABI_SELECT_PUBLIC_KEY, see_public,
                    &seen) == 0);
    MUST(export_key(delivery->key, ABI_SELECT_PRIVATE_KEY, see_public, &seen) == 0 && seen == 0);
}

static size_t answer_len;
static struct offload_request asked;

static int answer(const struct offload_request *request, unsigned char *sig, size_t *sig_len,
                  size_t sig_size)
{
    asked = *request;
    if (answer_len == 0) {
        return 0;
    }
    memset(sig, 0x5A, answer_len < sig_size ? answer_len : sig_size);
    *sig_len = answer_len;
    return 1;
}

struct signing {
    const struct abi_dispatch *functions;
    void *context;
    void *key;
    const char *digest;
    size_t size;
};

static int init(const struct signing *signing, const char *digest, const struct abi_param *params)
{
    init_fn *function = (init_fn *)find(signing->functions, ABI_SIGNATURE_DIGEST_SIGN_INIT);

    return function(signing->context, digest, signing->key, params);
}

static int sign(const struct signing *signing, size_t room)
{
    sign_fn *function = (sign_fn *)find(signing->functions, ABI_SIGNATURE_DIGEST_SIGN);
    unsigned char *sig = malloc(room + 1);
    size_t len = 0;

    MUST(sig != NULL);
    const int done = function(signing->context, sig, &len, room, (const unsigned char *)"tbs", 3);
    MUST(!done || (len > 0 && len <= room));
    free(sig);
    return done;
}

static void sign_rightly_and_wrongly(struct signing *signing)
{
    const char *wrong = signing->digest == NULL ? "SHA2-256" : NULL;
    sign_fn *function = (sign_fn *)find(signing->functions, ABI_SIGNATURE_DIGEST_SIGN);

    MUST(sign(signing, SIGNATURE_ROOM) == 0); /* not initialised */
    MUST(init(signing, wrong, NULL) == 0);
    MUST(init(signing, "MD5", NULL) == 0);
    MUST(init(signing, signing->digest, NULL) == 1);
    MUST(function(signing->context, NULL, &signing->size, 0, NULL, 0) == 1);
    offload_set_sign(NULL);
    MUST(sign(signing, signing->size) == 0); /* no hook */
    offload_set_sign(answer);
    answer_len = signing->size;
    MUST(sign(signing, signing->size) == 1 && sign(signing, SIGNATURE_ROOM) == 1);
    MUST(asked.key_id_len == OFFLOAD_KEY_ID_SIZE && asked.tbs_len == 3);
    MUST(strcmp(asked.digest, signing->digest == NULL ? "" : "SHA2-384") == 0);
    MUST(sign(signing, signing->size - 1) == 0); /* no room */
    answer_len = 0;
    MUST(sign(signing, signing->size) == 0); /* the hook failed */
    answer_len = signing->size + 1;
    MUST(sign(signing, signing->size) == 0); /* the hook claims more than there is */
    MUST(sign(signing, SIGNATURE_ROOM) == 0);
    answer_len = signing->size;
}

static int set(const struct signing *signing, const char *key, unsigned int type, void *data,
               size_t size)
{
    const struct abi_param params[] = {{key, type, data, size, 0}, END};
    set_params_fn *function = (set_params_fn *)find(signing->functions,
                                                    ABI_SIGNATURE_SET_CTX_PARAMS);

    return function(signing->context, params);
}

static int set_int(const struct signing *signing, const char *key, int value)
{
    return set(signing, key, ABI_PARAM_INTEGER, &value, sizeof value);
}

/* Text without an ending zero, as parameters may be. */
static int set_text(const struct signing *signing, const char *key, const char *text)
{
    const size_t len = strlen(text);
    char *exact = malloc(len + 1);

    MUST(exact != NULL);
    memcpy(exact, text, len);
    char *fitted = realloc(exact, len > 0 ? len : 1);
    MUST(fitted != NULL);
    const int done = set(signing, key, ABI_PARAM_UTF8_STRING, fitted, len);
    free(fitted);
    return done;
}

static void set_parameters(const struct signing *signing, int is_rsa, int has_digest)
{
    char long_text[200];

    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    MUST(set_int(signing, "pad-mode", 1) == is_rsa && set_int(signing, "pad-mode", 6) == is_rsa);
    MUST(set_text(signing, "pad-mode", "pss") == is_rsa);
    MUST(set_text(signing, "pad-mode", "pkcs1") == is_rsa);
    MUST(set_int(signing, "pad-mode", 3) == 0 && set_text(signing, "pad-mode", "none") == 0);
    MUST(set_text(signing, "pad-mode", long_text) == 0 && set_text(signing, "pad-mode", "") == 0);
    MUST(set_int(signing, "saltlen", -1) == is_rsa && set_int(signing, "saltlen", 48) == is_rsa);
    MUST(set_text(signing, "saltlen", "digest") == is_rsa);
    MUST(set_int(signing, "saltlen", 0) == 0 && set_text(signing, "saltlen", "max") == 0);
    MUST(set_text(signing, "mgf1-digest", "SHA384") == is_rsa);
    MUST(set_text(signing, "mgf1-digest", "SHA256") == 0);
    MUST(set_text(signing, "digest", "SHA-384") == has_digest);
    MUST(set_text(signing, "digest", "SHA1") == 0);
    MUST(set_int(signing, "tls-version", 0x0304) == 1 && set_int(signing, "tls-version", 2) == 0);
    MUST(set(signing, "tls-version", ABI_PARAM_INTEGER, long_text, 3) == 0);
    MUST(set(signing, "tls-version", ABI_PARAM_INTEGER, NULL, 4) == 0);
    MUST(set_text(signing, "context-string", "x") == 0);
}

static void duplicate(const struct signing *signing)
{
    struct signing twin = *signing;

    twin.context = ((dup_fn *)find(signing->functions, ABI_SIGNATURE_DUPCTX))(signing->context);
    MUST(twin.context != NULL);
    twin.key = NULL; /* again with the same key */
    MUST(init(&twin, signing->digest, NULL) == 1 && sign(&twin, signing->size) == 1);
    ((free_fn *)find(twin.functions, ABI_SIGNATURE_FREECTX))(twin.context);
}

static void sign_with(const struct delivery *delivery)
{
    const struct abi_algorithm *algorithm = query(delivery->instance, ABI_OPERATION_SIGNATURE);
    get_params_fn *get = (get_params_fn *)find(delivery->keymgmt, ABI_KEYMGMT_GET_PARAMS);
    struct abi_param mandatory[2] = {{"mandatory-digest", ABI_PARAM_UTF8_STRING, NULL, 0, 99}, END};
    struct abi_param modulus[2] = {{"n", ABI_PARAM_UNSIGNED_INTEGER, NULL, 0, 0}, END};
    struct signing signing = {algorithm->implementation, NULL, delivery->key, NULL, 0};

    MUST(get(delivery->key, mandatory) == 1 && get(delivery->key, modulus) == 1);
    const int has_digest = mandatory[0].return_size == 99;
    const int is_rsa = modulus[0].return_size > 0;
    signing.digest = has_digest ? "SHA384" : NULL;
    newctx_fn *newctx = (newctx_fn *)find(signing.functions, ABI_SIGNATURE_NEWCTX);
    signing.context = newctx(delivery->instance->context, NULL);
    MUST(signing.context != NULL);
    sign_rightly_and_wrongly(&signing);
    set_parameters(&signing, is_rsa, has_digest);
    duplicate(&signing);
    ((free_fn *)find(signing.functions, ABI_SIGNATURE_FREECTX))(signing.context);
}

/* Nothing but keys, signatures over whole contents, and decoders. */
static void refuse_the_rest(const struct instance *instance)
{
    static const int absent[] = {2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 14, 15, 27, 28, 29};
    const struct abi_algorithm *signature = query(instance, ABI_OPERATION_SIGNATURE);

    for (int operation = 0; operation < 64; operation++) {
        const int is_ours = operation == ABI_OPERATION_KEYMGMT ||
                            operation == ABI_OPERATION_SIGNATURE ||
                            operation == ABI_OPERATION_DECODER;
        MUST((query(instance, operation) != NULL) == is_ours);
    }
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        MUST(find(signature->implementation, absent[i]) == NULL);
    }
}

static void tell_reasons(const struct instance *instance)
{
    const struct abi_item *reason =
        ((reasons_fn *)find(instance->functions, ABI_PROVIDER_GET_REASON_STRINGS))(NULL);
    int is_known = 0;

    for (; reason->id != 0; reason++) {
        is_known |= reason->id == last_reason;
    }
    MUST(errors > 0 && is_known);
}

static void mangle(struct delivery *delivery, unsigned char *pem, size_t len)
{
    delivery->refuse = 1; /* the core does not want the key: it is released */
    MUST(decode(delivery, pem, len) == 1);
    MUST(delivery->key == NULL);
    /* Not ours: let pass. Ours, but cut off: refused, by each. */
    for (size_t end = 0; end < len - 1; end++) {
        unsigned char *exact = malloc(end + 1);
        MUST(exact != NULL);
        memcpy(exact, pem, end);
        const int refused = decode(delivery, exact, end);
        MUST((refused > 0) == (end >= strlen(OFFLOAD_KEYREF_BEGIN)));
        free(exact);
    }
    delivery->refuse = 0;
}

/* The label, a beginning of a body, and zeros up to what the longest reference may have. */
static void refuse_long(struct delivery *delivery, const char *beginning, size_t zeros)
{
    const size_t end = strlen(OFFLOAD_KEYREF_BEGIN) + 1 + strlen(beginning) + zeros;
    const size_t len = end + strlen(OFFLOAD_KEYREF_END);
    char *pem = malloc(len + 1);

    MUST(pem != NULL);
    memset(pem, 'A', len);
    memcpy(pem, OFFLOAD_KEYREF_BEGIN "\n", strlen(OFFLOAD_KEYREF_BEGIN) + 1);
    memcpy(pem + strlen(OFFLOAD_KEYREF_BEGIN) + 1, beginning, strlen(beginning));
    memcpy(pem + end, OFFLOAD_KEYREF_END, strlen(OFFLOAD_KEYREF_END) + 1);
    MUST(decode(delivery, (const unsigned char *)pem, len) > 0 && delivery->key == NULL);
    free(pem);
}

static void refuse_oversized(const struct instance *instance)
{
    struct delivery delivery = {instance, NULL, NULL, 0};

    refuse_long(&delivery, "", 4000);  /* more than any body */
    refuse_long(&delivery, "", 40000); /* more than any text */
    /* ML-DSA-87 with a public key of 2600 bytes, 8 more than there is room for. */
    refuse_long(&delivery, "AQgAAAAAAAAAAAAAAAAAAAAAAAAAAAoo", 3468);
}

static unsigned char *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = malloc(OFFLOAD_KEYREF_PEM_MAX);

    MUST(file != NULL && bytes != NULL);
    *len = fread(bytes, 1, OFFLOAD_KEYREF_PEM_MAX, file);
    MUST(*len > 0 && fclose(file) == 0);
    return bytes;
}

static void use_key(const struct instance *one, const struct instance *other, const char *path,
                    const struct delivery *previous, struct delivery *delivery)
{
    size_t len = 0;
    unsigned char *pem = read_file(path, &len);
    struct delivery twin = {other, NULL, NULL, 0};

    *delivery = (struct delivery){one, NULL, NULL, 0};
    mangle(delivery, pem, len);
    MUST(decode(delivery, pem, len) == 0 && delivery->key != NULL);
    MUST(decode(&twin, pem, len) == 0 && twin.key != NULL);
    free(pem);
    match_fn *match = (match_fn *)find(delivery->keymgmt, ABI_KEYMGMT_MATCH);
    MUST(match(delivery->key, twin.key, ABI_SELECT_PUBLIC_KEY) == 1);
    MUST(match(delivery->key, NULL, ABI_SELECT_PUBLIC_KEY) == 0);
    if (previous != NULL) {
        MUST(match(delivery->key, previous->key, ABI_SELECT_PUBLIC_KEY) == 0);
    }
    get_all(delivery);
    export_it(delivery);
    sign_with(delivery);
    sign_with(&twin);
    release(&twin);
}

int main(int argc, char **argv)
{
    /* Two libcryptos in one process. */
    const struct instance one = start();
    const struct instance other = start();
    struct delivery keys[2] = {{0}, {0}};

    MUST(one.context != other.context);
    refuse_the_rest(&one);
    refuse_oversized(&one);
    for (int i = 1; i < argc; i++) {
        const int newest = i % 2;
        use_key(&one, &other, argv[i], i > 1 ? &keys[1 - newest] : NULL, &keys[newest]);
        if (i > 1) {
            release(&keys[1 - newest]);
        }
    }
    tell_reasons(&one);
    stop(&other);
    if (argc > 1) {
        release(&keys[(argc - 1) % 2]);
    }
    stop(&one);
    return 0;
}
