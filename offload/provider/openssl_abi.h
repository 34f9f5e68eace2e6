/*
 * The part of OpenSSL's provider interface that this module uses.
 *
 * The interface between libcrypto and a provider is a table of numbered functions and an array of
 * typed parameters, both frozen since OpenSSL 3.0 (provider(7), provider-base(7), OSSL_PARAM(3)).
 * Keeping the few numbers here lets the module be built with a C compiler alone, and be loaded by
 * any libcrypto from 3.0 on whatever headers the machine has. The prefix abi_ keeps these
 * names apart from the library's own.
 */
#ifndef OFFLOAD_OPENSSL_ABI_H
#define OFFLOAD_OPENSSL_ABI_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct abi_dispatch {
    int id;
    void (*function)(void);
};

struct abi_algorithm {
    const char *names; /* aliases, separated by colons */
    const char *properties;
    const struct abi_dispatch *implementation;
    const char *description;
};

struct abi_param {
    const char *key;
    unsigned int type;
    void *data;
    size_t data_size;
    size_t return_size;
};

struct abi_item {
    unsigned int id;
    const char *text;
};

typedef void abi_core_handle; /* opaque */
typedef void abi_core_bio;    /* opaque */

typedef int abi_callback(const struct abi_param *params, void *arg);

/* Parameter types (OSSL_PARAM(3)); integers are in native byte order and of any length. */
#define ABI_PARAM_INTEGER 1U
#define ABI_PARAM_UNSIGNED_INTEGER 2U
#define ABI_PARAM_UTF8_STRING 4U
#define ABI_PARAM_OCTET_STRING 5U
#define ABI_PARAM_UTF8_PTR 6U
#define ABI_PARAM_OCTET_PTR 7U

/* What libcrypto offers to a provider (provider-base(7)). */
#define ABI_CORE_NEW_ERROR 5
#define ABI_CORE_VSET_ERROR 7
#define ABI_CORE_BIO_READ_EX 42
typedef void abi_core_new_error_fn(const abi_core_handle *core);
typedef void abi_core_vset_error_fn(const abi_core_handle *core, uint32_t reason,
                                    const char *format, va_list arguments);
typedef int abi_core_bio_read_ex_fn(abi_core_bio *bio, void *data, size_t size, size_t *read);

/* What a provider offers to libcrypto (provider-base(7)). */
#define ABI_PROVIDER_TEARDOWN 1024
#define ABI_PROVIDER_GETTABLE_PARAMS 1025
#define ABI_PROVIDER_GET_PARAMS 1026
#define ABI_PROVIDER_QUERY_OPERATION 1027
#define ABI_PROVIDER_GET_REASON_STRINGS 1029

#define ABI_OPERATION_KEYMGMT 10
#define ABI_OPERATION_SIGNATURE 12
#define ABI_OPERATION_DECODER 21

/* provider-keymgmt(7) */
#define ABI_KEYMGMT_LOAD 8
#define ABI_KEYMGMT_FREE 10
#define ABI_KEYMGMT_GET_PARAMS 11
#define ABI_KEYMGMT_GETTABLE_PARAMS 12
#define ABI_KEYMGMT_QUERY_OPERATION_NAME 20
#define ABI_KEYMGMT_HAS 21
#define ABI_KEYMGMT_MATCH 23
#define ABI_KEYMGMT_EXPORT 42
#define ABI_KEYMGMT_EXPORT_TYPES 43

#define ABI_SELECT_PRIVATE_KEY 0x01
#define ABI_SELECT_PUBLIC_KEY 0x02
#define ABI_SELECT_DOMAIN_PARAMETERS 0x04

/* provider-signature(7) */
#define ABI_SIGNATURE_NEWCTX 1
#define ABI_SIGNATURE_DIGEST_SIGN_INIT 8
#define ABI_SIGNATURE_DIGEST_SIGN 11
#define ABI_SIGNATURE_FREECTX 16
#define ABI_SIGNATURE_DUPCTX 17
#define ABI_SIGNATURE_SET_CTX_PARAMS 20
#define ABI_SIGNATURE_SETTABLE_CTX_PARAMS 21

/* provider-decoder(7), provider-object(7) */
#define ABI_DECODER_NEWCTX 1
#define ABI_DECODER_FREECTX 2
#define ABI_DECODER_DOES_SELECTION 10
#define ABI_DECODER_DECODE 11

#define ABI_OBJECT_PKEY 2

/* RSA padding modes as "pad-mode" gives them (EVP_PKEY_CTX_set_rsa_padding(3)). */
#define ABI_RSA_PADDING_PKCS1 1
#define ABI_RSA_PADDING_PSS 6
/* "saltlen" given as an integer: as long as the digest. */
#define ABI_RSA_PSS_SALT_LENGTH_DIGEST (-1)

#endif
