#include <stdlib.h>
#include <string.h>

#include "support.h"

/* The same code for the instruction sets that matter; the loader picks one. */
#if defined(__x86_64__) && defined(__linux__) && defined(__clang__)
#define VECTORIZED __attribute__((target_clones("avx512bw", "avx2", "default")))
#else
#define VECTORIZED
#endif

enum { PRECISION_BITS = 22, HALF = 1 << (PRECISION_BITS - 1), TILE_ROWS = 16, COLUMN_BLOCK = 256 };

static inline uint8_t clipped(int32_t sum) {
    int32_t value = sum >> PRECISION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* The bytes of some rows of a picture, turned: those of one place of all rows beside each other. */
VECTORIZED
static void turn_rows(const uint8_t *const *rows, size_t row_bytes, uint8_t *tile) {
    for (size_t x = 0; x < row_bytes; x++) {
        for (size_t y = 0; y < TILE_ROWS; y++) tile[x * TILE_ROWS + y] = rows[y][x];
    }
}

/* One place of a resized tile: `channels * TILE_ROWS` sums of `count` places each. */
VECTORIZED
static void sum_tile(
    const uint8_t *tile, const int32_t *weights, size_t count, size_t channels, uint8_t *restrict result) {
    const size_t lanes = channels * TILE_ROWS;
    for (size_t first = 0; first < lanes; first += TILE_ROWS) {
        int32_t sums[TILE_ROWS];
        for (size_t i = 0; i < TILE_ROWS; i++) sums[i] = HALF;
        const uint8_t *place = tile + first;
        for (size_t tap = 0; tap < count; tap++, place += lanes) {
            const int32_t weight = weights[tap];
            for (size_t i = 0; i < TILE_ROWS; i++) {
                sums[i] = (int32_t)((uint32_t)sums[i] + (uint32_t)((int32_t)place[i] * weight));
            }
        }
        for (size_t i = 0; i < TILE_ROWS; i++) result[first + i] = clipped(sums[i]);
    }
}

int32_t image_codec_resize_rows(
    const uint8_t *source, size_t width, size_t height, size_t channels, const image_codec_weights *weights,
    uint8_t *target) {
    const size_t source_row = width * channels, target_row = weights->count * channels;
    uint8_t *scratch = malloc((source_row + target_row) * TILE_ROWS);
    if (!scratch) return IMAGE_CODEC_OUT_OF_MEMORY;
    uint8_t *tile = scratch, *turned = scratch + source_row * TILE_ROWS;
    for (size_t y = 0; y < height; y += TILE_ROWS) {
        const size_t rows_left = height - y < TILE_ROWS ? height - y : TILE_ROWS;
        /* Where there are fewer rows the last one stands for those that are missing. */
        const uint8_t *rows[TILE_ROWS];
        for (size_t i = 0; i < TILE_ROWS; i++) {
            rows[i] = source + (y + (i < rows_left ? i : rows_left - 1)) * source_row;
        }
        turn_rows(rows, source_row, tile);
        for (size_t x = 0; x < weights->count; x++) {
            sum_tile(
                tile + (size_t)weights->starts[x] * channels * TILE_ROWS, weights->values + x * weights->stride,
                (size_t)weights->counts[x], channels, turned + x * channels * TILE_ROWS);
        }
        for (size_t i = 0; i < rows_left; i++) {
            uint8_t *row = target + (y + i) * target_row;
            for (size_t x = 0; x < target_row; x++) row[x] = turned[x * TILE_ROWS + i];
        }
    }
    free(scratch);
    return IMAGE_CODEC_OK;
}

/* A block of a row: the sums of `count` rows, each with its weight. */
VECTORIZED
static void sum_rows(
    const uint8_t *source, size_t row_bytes, const int32_t *weights, size_t count, size_t width,
    uint8_t *restrict target) {
    int32_t sums[COLUMN_BLOCK];
    for (size_t x = 0; x < width; x++) sums[x] = HALF;
    for (size_t tap = 0; tap < count; tap++, source += row_bytes) {
        const int32_t weight = weights[tap];
        for (size_t x = 0; x < width; x++) {
            sums[x] = (int32_t)((uint32_t)sums[x] + (uint32_t)((int32_t)source[x] * weight));
        }
    }
    for (size_t x = 0; x < width; x++) target[x] = clipped(sums[x]);
}

void image_codec_resize_columns(
    const uint8_t *source, size_t row_bytes, const image_codec_weights *weights, uint8_t *target) {
    for (size_t y = 0; y < weights->count; y++) {
        const uint8_t *first = source + (size_t)weights->starts[y] * row_bytes;
        for (size_t x = 0; x < row_bytes; x += COLUMN_BLOCK) {
            const size_t width = row_bytes - x < COLUMN_BLOCK ? row_bytes - x : COLUMN_BLOCK;
            sum_rows(
                first + x, row_bytes, weights->values + y * weights->stride, (size_t)weights->counts[y], width,
                target + y * row_bytes + x);
        }
    }
}
