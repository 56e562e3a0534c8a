#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* PNG files of the usual kinds, 8 bits deep and not interlaced, inflated in one piece. libdeflate needs about a third of the
 * time of zlib. Whatever is unusual, damaged or large is left to libpng, which knows all of it and says what is wrong. */

enum { MAXIMUM_RAW_BYTES = 64 << 20, HEADER_BYTES = 33 };

typedef struct png_chunks {
    uint32_t width, height;
    uint8_t color;
    const uint8_t *palette;
    size_t palette_count;
    /* The compressed samples; in memory of their own where they come in several chunks. */
    const uint8_t *data;
    size_t data_count;
    uint8_t *joined;
} png_chunks;

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Finds the chunks that matter. 0 where the file is for libpng. */
static int png_find_chunks(const uint8_t *bytes, size_t count, png_chunks *chunks) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (count < HEADER_BYTES || memcmp(bytes, signature, sizeof signature) != 0) return 0;
    size_t position = sizeof signature, data_count = 0, data_chunks = 0, end_of_data = 0;
    for (;;) {
        if (count - position < 12) return 0;
        const uint8_t *chunk = bytes + position, *type = chunk + 4, *content = chunk + 8;
        const size_t length = big_endian(chunk);
        if (length > count - position - 12) return 0;
        if (libdeflate_crc32(0, type, length + 4) != big_endian(content + length)) return 0;
        const size_t next = position + 12 + length;
        if (memcmp(type, "IHDR", 4) == 0) {
            /* Depth, kind of compression, kind of filters, interlacing. */
            if (position != sizeof signature || length != 13) return 0;
            if (content[8] != 8 || content[10] != 0 || content[11] != 0 || content[12] != 0) return 0;
            chunks->width = big_endian(content);
            chunks->height = big_endian(content + 4);
            chunks->color = content[9];
        } else if (position == sizeof signature) {
            return 0;
        } else if (memcmp(type, "PLTE", 4) == 0) {
            if (chunks->palette || data_chunks || length == 0 || length > 768 || length % 3 != 0) return 0;
            chunks->palette = content;
            chunks->palette_count = length / 3;
        } else if (memcmp(type, "IDAT", 4) == 0) {
            if (data_chunks && end_of_data != position) return 0;
            if (!data_chunks) chunks->data = content;
            data_chunks++;
            data_count += length;
            end_of_data = next;
        } else if (memcmp(type, "IEND", 4) == 0) {
            if (length != 0 || !data_chunks) return 0;
            break;
        } else if (!(type[0] & 0x20)) {
            return 0;
        }
        position = next;
    }
    chunks->data_count = data_count;
    if (data_chunks > 1) {
        chunks->joined = malloc(data_count ? data_count : 1);
        if (!chunks->joined) return 0;
        const uint8_t *chunk = chunks->data - 8;
        uint8_t *target = chunks->joined;
        for (size_t i = 0; i < data_chunks; i++) {
            const size_t length = big_endian(chunk);
            memcpy(target, chunk + 8, length);
            target += length;
            chunk += 12 + length;
        }
        chunks->data = chunks->joined;
    }
    return 1;
}

static inline int magnitude(int value) {
    return value < 0 ? -value : value;
}

/* Takes a row's filter back. `channels` is a constant wherever this is called. 0 for a filter there is none of. */
static inline __attribute__((always_inline)) int png_take_back(
    uint8_t *restrict row, const uint8_t *restrict above, size_t row_bytes, int filter, const size_t channels) {
    int left[4] = {0, 0, 0, 0}, corner[4] = {0, 0, 0, 0};
    switch (filter) {
    case 0:
        return 1;
    case 1:
        for (size_t x = 0; x < row_bytes; x += channels) {
            for (size_t c = 0; c < channels; c++) row[x + c] = (uint8_t)(left[c] = (row[x + c] + left[c]) & 0xff);
        }
        return 1;
    case 2:
        for (size_t x = 0; x < row_bytes; x++) row[x] = (uint8_t)(row[x] + above[x]);
        return 1;
    case 3:
        for (size_t x = 0; x < row_bytes; x += channels) {
            for (size_t c = 0; c < channels; c++) {
                row[x + c] = (uint8_t)(left[c] = (row[x + c] + ((left[c] + above[x + c]) >> 1)) & 0xff);
            }
        }
        return 1;
    case 4:
        for (size_t x = 0; x < row_bytes; x += channels) {
            for (size_t c = 0; c < channels; c++) {
                const int a = left[c], b = above[x + c], d = corner[c];
                const int to_a = magnitude(b - d), to_b = magnitude(a - d), to_d = magnitude(a + b - d - d);
                /* The nearest of the three; of equal ones the first. */
                int nearest = to_b <= to_d ? b : d;
                nearest = ((to_a <= to_b) & (to_a <= to_d)) ? a : nearest;
                row[x + c] = (uint8_t)(left[c] = (row[x + c] + nearest) & 0xff);
                corner[c] = b;
            }
        }
        return 1;
    default:
        return 0;
    }
}

static int png_take_back_row(uint8_t *row, const uint8_t *above, size_t row_bytes, int filter, size_t channels) {
    switch (channels) {
    case 1: return png_take_back(row, above, row_bytes, filter, 1);
    case 2: return png_take_back(row, above, row_bytes, filter, 2);
    case 3: return png_take_back(row, above, row_bytes, filter, 3);
    default: return png_take_back(row, above, row_bytes, filter, 4);
    }
}

/* The samples of one row, alpha dropped and palettes looked up. */
static void png_take_samples(const png_chunks *chunks, const uint8_t *row, size_t width, uint8_t *samples) {
    switch (chunks->color) {
    case 3:
        for (size_t x = 0; x < width; x++) {
            if (row[x] < chunks->palette_count) {
                memcpy(samples + 3 * x, chunks->palette + 3 * (size_t)row[x], 3);
            } else {
                memset(samples + 3 * x, 0, 3);
            }
        }
        break;
    case 4:
        for (size_t x = 0; x < width; x++) samples[x] = row[2 * x];
        break;
    case 6:
        for (size_t x = 0; x < width; x++) memcpy(samples + 3 * x, row + 4 * x, 3);
        break;
    default:
        memcpy(samples, row, width * (chunks->color == 2 ? 3 : 1));
    }
}

static int png_take_picture(
    const png_chunks *chunks, size_t channels, size_t maximum_pixels, image_codec_picture *picture) {
    const size_t row_bytes = (size_t)chunks->width * channels, raw_count = (row_bytes + 1) * chunks->height;
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    /* A row of zeros stands above the first one. */
    uint8_t *raw = malloc(raw_count), *zeros = calloc(1, row_bytes);
    image_codec_picture taken = {0};
    char message[IMAGE_CODEC_MESSAGE_CAPACITY];
    int32_t layout = chunks->color == 0 || chunks->color == 4 ? IMAGE_CODEC_GRAY8 : IMAGE_CODEC_RGB8;
    int is_taken = decompressor && raw && zeros &&
        libdeflate_zlib_decompress(decompressor, chunks->data, chunks->data_count, raw, raw_count, NULL) ==
            LIBDEFLATE_SUCCESS &&
        image_codec_allocate(chunks->width, chunks->height, layout, maximum_pixels, &taken, message) == IMAGE_CODEC_OK;
    const size_t samples_row = is_taken ? taken.byte_count / chunks->height : 0;
    const uint8_t *above = zeros;
    for (size_t y = 0; is_taken && y < chunks->height; y++) {
        uint8_t *row = raw + y * (row_bytes + 1) + 1;
        is_taken = png_take_back_row(row, above, row_bytes, row[-1], channels);
        if (is_taken) png_take_samples(chunks, row, chunks->width, taken.samples + y * samples_row);
        above = row;
    }
    libdeflate_free_decompressor(decompressor);
    free(raw);
    free(zeros);
    if (is_taken) {
        *picture = taken;
    } else {
        free(taken.samples);
    }
    return is_taken;
}

int image_codec_take_png(const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture) {
    png_chunks chunks = {0};
    int is_taken = png_find_chunks(bytes, count, &chunks);
    static const uint8_t channels_of[7] = {1, 0, 3, 1, 2, 0, 4};
    const size_t channels = chunks.color < sizeof channels_of ? channels_of[chunks.color] : 0;
    if (chunks.color == 3 && !chunks.palette) is_taken = 0;
    if (chunks.width == 0 || chunks.height == 0 || channels == 0) is_taken = 0;
    if (is_taken) {
        const uint64_t row_bytes = (uint64_t)chunks.width * channels + 1;
        is_taken = row_bytes <= MAXIMUM_RAW_BYTES / chunks.height;
    }
    if (is_taken) is_taken = png_take_picture(&chunks, channels, maximum_pixels, picture);
    free(chunks.joined);
    return is_taken;
}
