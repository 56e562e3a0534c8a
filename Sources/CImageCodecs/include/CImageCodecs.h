#ifndef CIMAGECODECS_H
#define CIMAGECODECS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

/* Decoding and encoding of PNG, JPEG and TIFF in memory.
 *
 * Every function returns one of the statuses below. On failure a text of one line stands in `message` (a buffer of the
 * caller, always terminated) and the out-parameters are untouched. No function keeps a pointer after it returned, calls
 * exit or jumps across the caller; all may be called from several threads at once. */

typedef enum image_codec_status {
    IMAGE_CODEC_OK = 0,
    IMAGE_CODEC_MALFORMED = 1,    /* truncated or corrupt */
    IMAGE_CODEC_UNSUPPORTED = 2,  /* well-formed, of a kind that is not read */
    IMAGE_CODEC_TOO_LARGE = 3,    /* more pixels than allowed */
    IMAGE_CODEC_OUT_OF_MEMORY = 4
} image_codec_status;

/* How the samples of a decoded picture lie; rows from the top without padding. */
typedef enum image_codec_layout {
    IMAGE_CODEC_GRAY8 = 0,  /* one byte a pixel */
    IMAGE_CODEC_GRAY16 = 1, /* one native-endian uint16_t a pixel */
    IMAGE_CODEC_RGB8 = 2,   /* red, green, blue */
    IMAGE_CODEC_CMYK8 = 3   /* cyan, magenta, yellow, black; 255 is full ink */
} image_codec_layout;

typedef struct image_codec_picture {
    int32_t width;
    int32_t height;
    int32_t layout;
    /* GRAY16 only: what to add to the stored value; -32768 where the file holds signed values. */
    int32_t gray_offset;
    size_t byte_count;
    /* Allocated with malloc; released by image_codec_free. */
    uint8_t *_Nullable samples;
} image_codec_picture;

/* What these functions need of a message buffer. */
enum { IMAGE_CODEC_MESSAGE_CAPACITY = 256 };

int32_t image_codec_decode_png(
    const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture, char *message);

int32_t image_codec_decode_jpeg(
    const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture, char *message);

/* Decodes the first picture of a TIFF file. */
int32_t image_codec_decode_tiff(
    const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture, char *message);

/* Reads the size of the first picture of a TIFF file without decoding it. */
int32_t image_codec_tiff_size(
    const uint8_t *bytes, size_t count, int32_t *width, int32_t *height, char *message);

/* Encodes `height * width * 3` bytes; the result is allocated with malloc and released by image_codec_free.
 * `compression` is zlib's level, 0 to 9. */
int32_t image_codec_encode_png(
    const uint8_t *rgb, int32_t width, int32_t height, int32_t compression, uint8_t *_Nullable *_Nonnull encoded,
    size_t *encoded_count, char *message);

/* As above; `quality` is libjpeg's, 1 to 100; the chroma is sampled 4:4:4 where `full_chroma` is not 0, else 4:2:0. */
int32_t image_codec_encode_jpeg(
    const uint8_t *rgb, int32_t width, int32_t height, int32_t quality, int32_t full_chroma,
    uint8_t *_Nullable *_Nonnull encoded, size_t *encoded_count, char *message);

/* The places of a side that each place of the resized side is made of, and how much each of them counts. */
typedef struct image_codec_weights {
    /* The places of the resized side. */
    size_t count;
    /* For each of them the first place of the side, and how many follow from there. */
    const int32_t *starts;
    const int32_t *counts;
    /* For each of them `stride` weights of 22 binary places, of which the first ones are used. */
    const int32_t *values;
    size_t stride;
} image_codec_weights;

/* Resizes rows: `height * width * channels` bytes become `height * weights->count * channels`. Each sum is rounded and
 * clipped to 8 bits. Fails only for want of memory; there is no message. */
int32_t image_codec_resize_rows(
    const uint8_t *source, size_t width, size_t height, size_t channels, const image_codec_weights *weights,
    uint8_t *target);

/* Resizes columns: rows of `row_bytes` bytes become `weights->count` rows of as many. */
void image_codec_resize_columns(
    const uint8_t *source, size_t row_bytes, const image_codec_weights *weights, uint8_t *target);

/* Releases what the functions above allocated. */
void image_codec_free(void *_Nullable memory);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
