/* The functions of the one libssl that pyOpenSSL uses, called through addresses that Python hands over.
 * Nothing is linked: whatever libssl the process has loaded is the one. */
#ifndef OFFLOAD_LIBSSL_H
#define OFFLOAD_LIBSSL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { SSL_ERROR_WANT_READ = 2, SSL_ERROR_ZERO_RETURN = 6 };

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;

/* Return type, name, parameters. */
#define LIBSSL_FUNCTIONS(X) \
    X(SSL *, SSL_new, (SSL_CTX *)) \
    X(void, SSL_free, (SSL *)) \
    X(void, SSL_set_accept_state, (SSL *)) \
    X(void, SSL_set_connect_state, (SSL *)) \
    X(void, SSL_set_bio, (SSL *, BIO *, BIO *)) \
    X(int, SSL_do_handshake, (SSL *)) \
    X(int, SSL_read, (SSL *, void *, int)) \
    X(int, SSL_write, (SSL *, const void *, int)) \
    X(int, SSL_shutdown, (SSL *)) \
    X(int, SSL_get_error, (const SSL *, int)) \
    X(const char *, SSL_get_version, (const SSL *)) \
    X(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *)) \
    X(const char *, SSL_CIPHER_get_name, (const SSL_CIPHER *)) \
    X(const char *, SSL_get0_group_name, (SSL *)) \
    X(int, SSL_session_reused, (SSL *)) \
    X(void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned int *)) \
    X(BIO *, BIO_new, (const BIO_METHOD *)) \
    X(int, BIO_free, (BIO *)) \
    X(const BIO_METHOD *, BIO_s_mem, (void)) \
    X(int, BIO_read, (BIO *, void *, int)) \
    X(int, BIO_write, (BIO *, const void *, int)) \
    X(long, BIO_get_mem_data, (BIO *, char **)) \
    X(unsigned long, ERR_peek_error, (void)) \
    X(void, ERR_clear_error, (void))

#define OFFLOAD_AS_MEMBER(result, name, parameters) result(*name) parameters;
struct offload_libssl {
    LIBSSL_FUNCTIONS(OFFLOAD_AS_MEMBER)
};

/* All null until offload_libssl_bind() has succeeded. */
extern struct offload_libssl openssl;

/* Takes a mapping of names to addresses.  0 with an exception set and nothing changed, or 1. */
int offload_libssl_bind(PyObject *addresses);

/* The names that offload_libssl_bind() wants, a new tuple; NULL with an exception set. */
PyObject *offload_libssl_names(void);

#endif
