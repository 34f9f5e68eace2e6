/* Parameters: the typed key-value arrays by which libcrypto and a provider exchange data. */
#ifndef OFFLOAD_PARAMETER_H
#define OFFLOAD_PARAMETER_H

#include <stddef.h>

#include "openssl_abi.h"

#define PARAMETER_END {NULL, 0, NULL, 0, 0}

/*
 * Writers: fill a parameter that libcrypto passed with room for its value, or, where it passed
 * none, say how much is needed. Return 0 if the value does not fit or has another type.
 */
int offload_parameter_put_int(struct abi_param *parameter, int value);
int offload_parameter_put_text(struct abi_param *parameter, const char *text);
/* text lives as long as the module. */
int offload_parameter_put_pointer(struct abi_param *parameter, const char *text);
int offload_parameter_put_bytes(struct abi_param *parameter, const unsigned char *bytes,
                                size_t len);
/* number is unsigned, in native byte order, and may be shorter than the room. */
int offload_parameter_put_number(struct abi_param *parameter, const unsigned char *number,
                                 size_t len);

/* Readers. Return 0 if the parameter has another type, or does not fit. */
int offload_parameter_get_int(const struct abi_param *parameter, int *value);
/* Copies the text and its ending zero to text, at most size bytes. */
int offload_parameter_get_text(const struct abi_param *parameter, char *text, size_t size);

/* Copies a big-endian number into native byte order. to has room for len bytes. */
void offload_number_to_native(unsigned char *to, const unsigned char *from, size_t len);

#endif
