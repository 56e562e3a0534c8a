#include "support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int32_t image_codec_fail(char *message, int32_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, IMAGE_CODEC_MESSAGE_CAPACITY, format, arguments);
    va_end(arguments);
    for (char *c = message; *c; c++) {
        if ((unsigned char)*c < 0x20) *c = ' ';
    }
    return status;
}

int32_t image_codec_allocate(
    uint64_t width, uint64_t height, int32_t layout, size_t maximum_pixels, image_codec_picture *picture,
    char *message) {
    static const size_t bytes_per_pixel[] = {1, 2, 3, 4};
    if (width == 0 || height == 0) {
        return image_codec_fail(message, IMAGE_CODEC_MALFORMED, "a side of the picture is 0");
    }
    if (width > INT32_MAX || height > INT32_MAX || width > maximum_pixels / height) {
        return image_codec_fail(
            message, IMAGE_CODEC_TOO_LARGE, "%llu x %llu pixels, at most %zu pixels are read",
            (unsigned long long)width, (unsigned long long)height, maximum_pixels);
    }
    size_t byte_count = (size_t)width * (size_t)height * bytes_per_pixel[layout];
    uint8_t *samples = malloc(byte_count);
    if (!samples) {
        return image_codec_fail(message, IMAGE_CODEC_OUT_OF_MEMORY, "no memory for %zu bytes of pixels", byte_count);
    }
    picture->width = (int32_t)width;
    picture->height = (int32_t)height;
    picture->layout = layout;
    picture->gray_offset = 0;
    picture->byte_count = byte_count;
    picture->samples = samples;
    return IMAGE_CODEC_OK;
}

void image_codec_free(void *memory) {
    free(memory);
}
