#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* Everything that must survive a jump out of libpng lives here, in the frame of the function outside the jump. */
typedef struct png_state {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t count;
    size_t position;
    int32_t status;
    char *message;
    image_codec_picture picture;
    uint8_t *rows;
    png_bytep *row_pointers;
    uint8_t *encoded;
    size_t encoded_count;
    size_t encoded_capacity;
} png_state;

static void png_state_failed(png_structp png, png_const_charp text) {
    png_state *state = png_get_error_ptr(png);
    if (state->status == IMAGE_CODEC_OK) {
        state->status = image_codec_fail(state->message, IMAGE_CODEC_MALFORMED, "%s", text);
    }
    png_longjmp(png, 1);
}

static void png_state_warned(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void png_state_read(png_structp png, png_bytep destination, size_t count) {
    png_state *state = png_get_io_ptr(png);
    if (count > state->count - state->position) png_error(png, "the data end before the picture does");
    memcpy(destination, state->bytes + state->position, count);
    state->position += count;
}

/* Fails with a status of ours from inside the jump's reach. */
static void png_state_refuse(png_state *state, int32_t status) {
    state->status = status;
    png_longjmp(state->png, 1);
}

/* The 8-bit samples of one row of `channels` channels, with alpha dropped where there is any. */
static void take_row(const uint8_t *row, size_t width, int channels, uint8_t *samples) {
    switch (channels) {
    case 2:
        for (size_t x = 0; x < width; x++) samples[x] = row[2 * x];
        break;
    case 4:
        for (size_t x = 0; x < width; x++) memcpy(samples + 3 * x, row + 4 * x, 3);
        break;
    default:
        memcpy(samples, row, width * (size_t)channels);
    }
}

static void png_state_decode(png_state *state, size_t maximum_pixels) {
    if (setjmp(png_jmpbuf(state->png))) return;
    png_structp png = state->png;
    png_set_read_fn(png, state, png_state_read);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_chunk_malloc_max(png, 8u << 20);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_read_info(png, state->info);

    png_uint_32 width, height;
    int depth, color, interlace;
    png_get_IHDR(png, state->info, &width, &height, &depth, &color, &interlace, NULL, NULL);
    int is_gray16 = color == PNG_COLOR_TYPE_GRAY && depth == 16;
    int is_palette = color == PNG_COLOR_TYPE_PALETTE;
    int is_gray = !(color & PNG_COLOR_MASK_COLOR);
    int32_t layout = is_gray16 ? IMAGE_CODEC_GRAY16 : is_gray ? IMAGE_CODEC_GRAY8 : IMAGE_CODEC_RGB8;
    int32_t status = image_codec_allocate(width, height, layout, maximum_pixels, &state->picture, state->message);
    if (status != IMAGE_CODEC_OK) png_state_refuse(state, status);

    /* Transparency chunks are left alone, so that alpha is dropped and never composed. */
    if (is_gray && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
    if (is_palette && depth < 8) png_set_packing(png);
    if (depth == 16) {
        if (!is_gray16) {
            png_set_strip_16(png);
        } else {
            const uint16_t one = 1;
            if (*(const uint8_t *)&one == 1) png_set_swap(png);
        }
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, state->info);
    size_t row_bytes = png_get_rowbytes(png, state->info);
    int channels = png_get_channels(png, state->info);
    size_t samples_row = state->picture.byte_count / height;

    if (passes == 1) {
        state->rows = malloc(row_bytes);
        if (!state->rows) png_error(png, "no memory for a row");
    } else {
        /* Interlaced rows are completed over several passes, so all of them are kept. */
        state->rows = calloc(height, row_bytes);
        state->row_pointers = malloc(height * sizeof *state->row_pointers);
        if (!state->rows || !state->row_pointers) png_error(png, "no memory for an interlaced picture");
        for (size_t y = 0; y < height; y++) state->row_pointers[y] = state->rows + y * row_bytes;
        png_read_image(png, state->row_pointers);
    }

    png_colorp palette = NULL;
    int palette_count = 0;
    if (is_palette) png_get_PLTE(png, state->info, &palette, &palette_count);
    for (size_t y = 0; y < height; y++) {
        uint8_t *row = passes == 1 ? state->rows : state->row_pointers[y];
        if (passes == 1) png_read_row(png, row, NULL);
        uint8_t *samples = state->picture.samples + y * samples_row;
        if (is_palette) {
            for (size_t x = 0; x < width; x++) {
                png_color entry = row[x] < palette_count ? palette[row[x]] : (png_color){0, 0, 0};
                samples[3 * x] = entry.red;
                samples[3 * x + 1] = entry.green;
                samples[3 * x + 2] = entry.blue;
            }
        } else if (is_gray16) {
            memcpy(samples, row, samples_row);
        } else {
            take_row(row, width, channels, samples);
        }
    }
    png_read_end(png, NULL);
}

int32_t image_codec_decode_png(
    const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture, char *message) {
    png_state state = {.bytes = bytes, .count = count, .message = message};
    message[0] = 0;
    if (image_codec_take_png(bytes, count, maximum_pixels, picture)) return IMAGE_CODEC_OK;
    state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, png_state_failed, png_state_warned);
    if (!state.png) return image_codec_fail(message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for libpng");
    state.info = png_create_info_struct(state.png);
    if (state.info) {
        png_state_decode(&state, maximum_pixels);
    } else {
        state.status = image_codec_fail(message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for libpng");
    }
    png_destroy_read_struct(&state.png, &state.info, NULL);
    free(state.rows);
    free(state.row_pointers);
    if (state.status != IMAGE_CODEC_OK) {
        free(state.picture.samples);
        return state.status;
    }
    *picture = state.picture;
    return IMAGE_CODEC_OK;
}

static void png_state_write(png_structp png, png_bytep bytes, size_t count) {
    png_state *state = png_get_io_ptr(png);
    if (count > state->encoded_capacity - state->encoded_count) {
        size_t capacity = state->encoded_capacity * 2 + count;
        uint8_t *grown = realloc(state->encoded, capacity);
        if (!grown) png_error(png, "no memory for the encoded picture");
        state->encoded = grown;
        state->encoded_capacity = capacity;
    }
    memcpy(state->encoded + state->encoded_count, bytes, count);
    state->encoded_count += count;
}

static void png_state_flush(png_structp png) {
    (void)png;
}

static void png_state_encode(png_state *state, const uint8_t *rgb, int32_t width, int32_t height, int32_t compression) {
    if (setjmp(png_jmpbuf(state->png))) return;
    png_structp png = state->png;
    png_set_write_fn(png, state, png_state_write, png_state_flush);
    png_set_compression_level(png, compression);
    png_set_IHDR(
        png, state->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, state->info);
    for (int32_t y = 0; y < height; y++) png_write_row(png, rgb + (size_t)y * (size_t)width * 3);
    png_write_end(png, state->info);
}

int32_t image_codec_encode_png(
    const uint8_t *rgb, int32_t width, int32_t height, int32_t compression, uint8_t **encoded, size_t *encoded_count,
    char *message) {
    png_state state = {.message = message};
    message[0] = 0;
    state.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, png_state_failed, png_state_warned);
    if (!state.png) return image_codec_fail(message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for libpng");
    state.info = png_create_info_struct(state.png);
    if (state.info) {
        png_state_encode(&state, rgb, width, height, compression);
    } else {
        state.status = image_codec_fail(message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for libpng");
    }
    png_destroy_write_struct(&state.png, &state.info);
    if (state.status != IMAGE_CODEC_OK) {
        free(state.encoded);
        return state.status;
    }
    *encoded = state.encoded;
    *encoded_count = state.encoded_count;
    return IMAGE_CODEC_OK;
}
