/* Parameters. The types are described in OSSL_PARAM(3). */
#include "parameter.h"

#include <limits.h>
#include <string.h>

#include "guard.h"

static int is_little_endian(void)
{
    const uint16_t probe = 1;
    unsigned char first = 0;

    memcpy(&first, &probe, 1);
    return first == 1;
}

void offload_number_to_native(unsigned char *to, const unsigned char *from, size_t len)
{
    if (!is_little_endian()) {
        memcpy(to, from, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        to[i] = from[len - 1 - i];
    }
}

int offload_parameter_put_int(struct abi_param *parameter, int value)
{
    ENSURE(parameter->type == ABI_PARAM_INTEGER || parameter->type == ABI_PARAM_UNSIGNED_INTEGER);
    ENSURE(value >= 0);
    parameter->return_size = sizeof value;
    if (parameter->data == NULL) {
        return 1;
    }
    if (parameter->data_size == sizeof(int64_t)) {
        const int64_t wide = value;

        memcpy(parameter->data, &wide, sizeof wide);
        parameter->return_size = sizeof wide;
        return 1;
    }
    ENSURE(parameter->data_size == sizeof value);
    memcpy(parameter->data, &value, sizeof value);
    return 1;
}

int offload_parameter_put_text(struct abi_param *parameter, const char *text)
{
    const size_t len = strlen(text);

    ENSURE(parameter->type == ABI_PARAM_UTF8_STRING);
    parameter->return_size = len;
    if (parameter->data == NULL) {
        return 1;
    }
    /* The ending zero is not counted, and left out where the room is exact (OSSL_PARAM(3)). */
    ENSURE(parameter->data_size >= len);
    memcpy(parameter->data, text, parameter->data_size > len ? len + 1 : len);
    return 1;
}

int offload_parameter_put_pointer(struct abi_param *parameter, const char *text)
{
    ENSURE(parameter->type == ABI_PARAM_UTF8_PTR);
    parameter->return_size = strlen(text);
    if (parameter->data != NULL) {
        memcpy(parameter->data, &text, sizeof text);
    }
    return 1;
}

int offload_parameter_put_bytes(struct abi_param *parameter, const unsigned char *bytes,
                                size_t len)
{
    ENSURE(parameter->type == ABI_PARAM_OCTET_STRING);
    parameter->return_size = len;
    if (parameter->data == NULL) {
        return 1;
    }
    ENSURE(parameter->data_size >= len);
    memcpy(parameter->data, bytes, len);
    return 1;
}

int offload_parameter_put_number(struct abi_param *parameter, const unsigned char *number,
                                 size_t len)
{
    ENSURE(parameter->type == ABI_PARAM_UNSIGNED_INTEGER);
    parameter->return_size = len;
    if (parameter->data == NULL) {
        return 1;
    }
    ENSURE(parameter->data_size >= len);
    const size_t padding = parameter->data_size - len;
    unsigned char *data = parameter->data;
    if (is_little_endian()) {
        memcpy(data, number, len);
        memset(data + len, 0, padding);
    } else {
        memset(data, 0, padding);
        memcpy(data + padding, number, len);
    }
    parameter->return_size = parameter->data_size;
    return 1;
}

int offload_parameter_get_int(const struct abi_param *parameter, int *value)
{
    ENSURE(parameter->type == ABI_PARAM_INTEGER || parameter->type == ABI_PARAM_UNSIGNED_INTEGER);
    ENSURE(parameter->data != NULL);
    if (parameter->data_size == sizeof *value) {
        memcpy(value, parameter->data, sizeof *value);
        return 1;
    }
    int64_t wide = 0;
    ENSURE(parameter->data_size == sizeof wide);
    memcpy(&wide, parameter->data, sizeof wide);
    ENSURE(wide >= INT_MIN && wide <= INT_MAX);
    *value = (int)wide;
    return 1;
}

int offload_parameter_get_text(const struct abi_param *parameter, char *text, size_t size)
{
    const char *data = parameter->data;

    ENSURE(parameter->type == ABI_PARAM_UTF8_STRING && data != NULL);
    const char *end = memchr(data, '\0', parameter->data_size);
    const size_t len = end == NULL ? parameter->data_size : (size_t)(end - data);
    ENSURE(len < size);
    memcpy(text, data, len);
    text[len] = '\0';
    return 1;
}
