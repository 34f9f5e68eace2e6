/*
 * The sign hook: how a signature is obtained for a key that is not in this process.
 *
 * One pointer for the whole process, and the only state of this module outside a provider context.
 * It is not libcrypto's state: it says who answers, which is the Python module's affair, and there
 * is one of those in a process however many libcryptos load this file. With no hook set, signing
 * fails cleanly.
 */
#ifndef OFFLOAD_HOOK_H
#define OFFLOAD_HOOK_H

#include <stddef.h>

#define OFFLOAD_PADDING_NONE 0
#define OFFLOAD_PADDING_PKCS1 1
#define OFFLOAD_PADDING_PSS 6

/* What is to be signed, and by which key. Valid during the call only. */
struct offload_request {
    const unsigned char *key_id; /* the subject key identifier, 20 bytes */
    size_t key_id_len;
    int padding;                 /* one of OFFLOAD_PADDING_ */
    char digest[16];             /* "SHA2-256", "SHA2-384", "SHA2-512", or "" for none */
    const unsigned char *tbs;    /* the whole to-be-signed content, not yet hashed */
    size_t tbs_len;
};

/*
 * Writes the signature to sig and its length to *sig_len, at most sig_size bytes.
 * Returns 1 for success, 0 for failure. May be called by several threads at once.
 */
typedef int offload_sign_fn(const struct offload_request *request, unsigned char *sig,
                            size_t *sig_len, size_t sig_size);

/* NULL takes the hook away. */
void offload_set_sign(offload_sign_fn *sign);
offload_sign_fn *offload_get_sign(void);

#endif
