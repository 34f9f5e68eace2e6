/* Parser of key references. The format stands in keyref.h. */
#include "keyref.h"

#include <string.h>

#include "guard.h"

#define VERSION 1U
#define BASE64_INVALID 0xFFU

/* What is left of the input. Every read goes through take(), so that none passes the end. */
struct reader {
    const unsigned char *next;
    size_t left;
};

static int take(struct reader *reader, const unsigned char **bytes, size_t len)
{
    ENSURE(len <= reader->left);
    *bytes = reader->next;
    reader->next += len;
    reader->left -= len;
    return 1;
}

static int take_byte(struct reader *reader, size_t *value)
{
    const unsigned char *bytes = NULL;

    ENSURE(take(reader, &bytes, 1));
    *value = bytes[0];
    return 1;
}

static int take_uint16(struct reader *reader, size_t *value)
{
    const unsigned char *bytes = NULL;

    ENSURE(take(reader, &bytes, 2));
    *value = ((size_t)bytes[0] << 8) | bytes[1];
    return 1;
}

static int take_text(struct reader *reader, const char *text)
{
    const size_t len = strlen(text);
    const unsigned char *bytes = NULL;

    ENSURE(len <= reader->left && memcmp(reader->next, text, len) == 0);
    return take(reader, &bytes, len);
}

static int take_copy(struct reader *reader, unsigned char *to, size_t size, size_t len)
{
    const unsigned char *bytes = NULL;

    ENSURE(len <= size);
    ENSURE(take(reader, &bytes, len));
    memcpy(to, bytes, len);
    return 1;
}

static void skip_line_ends(struct reader *reader)
{
    while (reader->left > 0 && (*reader->next == '\n' || *reader->next == '\r')) {
        reader->next++;
        reader->left--;
    }
}

static unsigned int base64_value(unsigned char character)
{
    if (character >= 'A' && character <= 'Z') {
        return (unsigned int)character - 'A';
    }
    if (character >= 'a' && character <= 'z') {
        return (unsigned int)character - 'a' + 26U;
    }
    if (character >= '0' && character <= '9') {
        return (unsigned int)character - '0' + 52U;
    }
    if (character == '+') {
        return 62U;
    }
    return character == '/' ? 63U : BASE64_INVALID;
}

/* The next four characters that are not line ends; two or three, where '=' fills the rest. */
static int take_base64_group(struct reader *reader, unsigned int *group, size_t *characters)
{
    *group = 0;
    *characters = 0;
    for (size_t i = 0; i < 4; i++) {
        size_t character = 0;

        skip_line_ends(reader);
        ENSURE(take_byte(reader, &character));
        if (character == '=') {
            ENSURE(i >= 2);
            *group <<= 6;
            continue;
        }
        ENSURE(*characters == i);
        const unsigned int value = base64_value((unsigned char)character);
        ENSURE(value != BASE64_INVALID);
        *group = (*group << 6) | value;
        (*characters)++;
    }
    return 1;
}

static int take_base64(struct reader *reader, unsigned char *to, size_t size, size_t *len)
{
    size_t characters = 4;

    *len = 0;
    skip_line_ends(reader);
    while (reader->left > 0 && *reader->next != '-') {
        unsigned int group = 0;

        ENSURE(characters == 4); /* a filled-up group is the last */
        ENSURE(take_base64_group(reader, &group, &characters));
        const size_t bytes = characters - 1;
        ENSURE(size - *len >= bytes);
        for (size_t i = 0; i < bytes; i++) {
            to[*len + i] = (unsigned char)(group >> (16U - 8U * (unsigned int)i));
        }
        /* One encoding of each body: the bits that '=' cuts off are zero. */
        ENSURE((group & ((1U << (24U - 8U * (unsigned int)bytes)) - 1U)) == 0);
        *len += bytes;
        skip_line_ends(reader);
    }
    return 1;
}

static size_t public_key_size(enum offload_algorithm algorithm)
{
    switch (algorithm) {
    case OFFLOAD_P256:
        return 65;
    case OFFLOAD_P384:
        return 97;
    case OFFLOAD_P521:
        return 133;
    case OFFLOAD_ED25519:
        return 32;
    case OFFLOAD_MLDSA44:
        return 1312;
    case OFFLOAD_MLDSA65:
        return 1952;
    case OFFLOAD_MLDSA87:
        return 2592;
    case OFFLOAD_RSA:
        break;
    }
    return 0;
}

static int is_rsa_sane(const struct offload_keyref *keyref)
{
    const size_t n = keyref->public_key_len;
    const size_t e = keyref->exponent_len;

    ENSURE(n >= OFFLOAD_RSA_MODULUS_MIN && n <= OFFLOAD_RSA_MODULUS_MAX);
    ENSURE((keyref->public_key[0] & 0x80U) != 0 && (keyref->public_key[n - 1] & 1U) != 0);
    ENSURE(e >= 1 && e <= OFFLOAD_EXPONENT_MAX);
    ENSURE(keyref->exponent[0] != 0 && (keyref->exponent[e - 1] & 1U) != 0);
    return e > 1 || keyref->exponent[0] >= 3;
}

static int is_sane(const struct offload_keyref *keyref)
{
    if (keyref->algorithm == OFFLOAD_RSA) {
        return is_rsa_sane(keyref);
    }
    ENSURE(keyref->exponent_len == 0);
    ENSURE(keyref->public_key_len == public_key_size(keyref->algorithm));
    if (keyref->algorithm <= OFFLOAD_P521) {
        return keyref->public_key[0] == 0x04; /* uncompressed, SEC 1, 2.3.3 */
    }
    return 1;
}

static int parse_body(struct offload_keyref *keyref, const unsigned char *body, size_t len)
{
    struct reader reader = {body, len};
    size_t version = 0;
    size_t algorithm = 0;

    ENSURE(take_byte(&reader, &version));
    ENSURE(version == VERSION);
    ENSURE(take_byte(&reader, &algorithm));
    ENSURE(algorithm >= OFFLOAD_RSA && algorithm <= OFFLOAD_MLDSA87);
    keyref->algorithm = (enum offload_algorithm)algorithm;
    ENSURE(take_copy(&reader, keyref->key_id, sizeof keyref->key_id, OFFLOAD_KEY_ID_SIZE));
    ENSURE(take_uint16(&reader, &keyref->public_key_len));
    ENSURE(take_copy(&reader, keyref->public_key, sizeof keyref->public_key,
                     keyref->public_key_len));
    ENSURE(take_byte(&reader, &keyref->exponent_len));
    ENSURE(take_copy(&reader, keyref->exponent, sizeof keyref->exponent, keyref->exponent_len));
    ENSURE(reader.left == 0);
    return is_sane(keyref);
}

int offload_keyref_recognise(const unsigned char *pem, size_t len)
{
    struct reader reader = {pem, len};

    return take_text(&reader, OFFLOAD_KEYREF_BEGIN);
}

int offload_keyref_parse(struct offload_keyref *keyref, const unsigned char *pem, size_t len)
{
    struct reader reader = {pem, len};
    unsigned char body[OFFLOAD_KEYREF_BODY_MAX];
    size_t body_len = 0;

    ENSURE(len <= OFFLOAD_KEYREF_PEM_MAX);
    ENSURE(take_text(&reader, OFFLOAD_KEYREF_BEGIN));
    ENSURE(reader.left > 0 && (*reader.next == '\n' || *reader.next == '\r'));
    ENSURE(take_base64(&reader, body, sizeof body, &body_len));
    ENSURE(take_text(&reader, OFFLOAD_KEYREF_END));
    skip_line_ends(&reader);
    ENSURE(reader.left == 0);
    return parse_body(keyref, body, body_len);
}
