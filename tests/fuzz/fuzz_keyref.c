/*
 * Fuzz target of the key reference parser.
 *
 * With clang: -fsanitize=fuzzer -DOFFLOAD_LIBFUZZER, and any libFuzzer options. With another
 * compiler it has a main of its own, which mutates the references that it is given, repeatably:
 *
 *     fuzz_keyref ROUNDS REFERENCE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition) {
        abort();
    }
}

/* Accepted means sane: what the provider relies on without looking again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct offload_keyref keyref;

    if (offload_keyref_parse(&keyref, data, size) == 0) {
        return 0;
    }
    must(offload_keyref_recognise(data, size));
    must(keyref.algorithm >= OFFLOAD_RSA && keyref.algorithm <= OFFLOAD_MLDSA87);
    must(keyref.public_key_len >= 32 && keyref.public_key_len <= sizeof keyref.public_key);
    must(keyref.exponent_len <= sizeof keyref.exponent);
    must((keyref.exponent_len > 0) == (keyref.algorithm == OFFLOAD_RSA));
    if (keyref.algorithm == OFFLOAD_RSA) {
        must(keyref.public_key_len <= OFFLOAD_RSA_MODULUS_MAX);
    }
    return 0;
}

#ifndef OFFLOAD_LIBFUZZER

#define ROOM (2U * OFFLOAD_KEYREF_PEM_MAX)

/* xorshift64 (Marsaglia, 2003): the same rounds on every machine. */
static uint64_t state = 88172645463325252U;

static size_t below(size_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % bound);
}

static unsigned char character(void)
{
    static const char likely[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                                 "==--\n\r \0";

    return below(8) == 0 ? (unsigned char)below(256)
                         : (unsigned char)likely[below(sizeof likely - 1)];
}

static size_t mutate(unsigned char *text, size_t len)
{
    const size_t at = below(len + 1);
    size_t span = 1 + below(8);

    switch (below(5)) {
    case 0: /* cut off */
        return at;
    case 1: /* take out */
        span = span < len - at ? span : len - at;
        memmove(text + at, text + at + span, len - at - span);
        return len - span;
    case 2: /* put in */
        if (len + span > ROOM) {
            return len;
        }
        memmove(text + at + span, text + at, len - at);
        for (size_t i = 0; i < span; i++) {
            text[at + i] = character();
        }
        return len + span;
    default: /* overwrite */
        for (size_t i = at; i < len && i < at + span; i++) {
            text[i] = character();
        }
        return len;
    }
}

/* Offered in a block of its exact size, so that the sanitizer sees a read past its end. */
static void offer(const unsigned char *text, size_t len)
{
    unsigned char *exact = malloc(len > 0 ? len : 1);

    must(exact != NULL);
    memcpy(exact, text, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static void fuzz(const unsigned char *seed, size_t len, unsigned long rounds)
{
    unsigned char text[ROOM];

    for (unsigned long round = 0; round < rounds; round++) {
        size_t used = len;
        memcpy(text, seed, len);
        for (size_t steps = 1 + below(4); steps > 0; steps--) {
            used = mutate(text, used);
        }
        offer(text, used);
    }
}

int main(int argc, char **argv)
{
    must(argc >= 3);
    const unsigned long rounds = strtoul(argv[1], NULL, 10);
    for (int i = 2; i < argc; i++) {
        unsigned char seed[OFFLOAD_KEYREF_PEM_MAX];
        struct offload_keyref keyref;
        FILE *file = fopen(argv[i], "rb");
        must(file != NULL);
        const size_t len = fread(seed, 1, sizeof seed, file);
        must(fclose(file) == 0);
        must(offload_keyref_parse(&keyref, seed, len) == 1);
        fuzz(seed, len, rounds);
    }
    return 0;
}

#endif
