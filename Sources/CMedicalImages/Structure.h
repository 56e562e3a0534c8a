#ifndef CMEDICALIMAGES_STRUCTURE_H
#define CMEDICALIMAGES_STRUCTURE_H

#include "Support.h"

namespace medical {

/// How the elements of a data set are written.
struct Encoding {
    bool is_explicit;
    bool is_big_endian;
};

/// Where the pixel data of a file lie.
struct PixelExtent {
    uint32_t tag = 0;          // 0: there are none
    bool is_encapsulated = false;
    bool has_words = false;    // OW rather than OB
    Bytes native;              // not encapsulated
    std::vector<Bytes> fragments;
    std::vector<uint64_t> offsets;  // the basic offset table
    size_t start = 0;          // where the element begins, or the data set's end
};

/// The file meta information: the transfer syntax, and where the data set begins.
struct MetaInformation {
    std::string transfer_syntax;
    size_t data_set_start = 0;
};

MetaInformation read_meta(Bytes file);

/// Walks the structure of a data set up to its pixel data without reading a value: every length must fit into what
/// holds it and sequences must not nest deeper than sense has it. What passes is safe for a recursive reader that takes
/// memory for the lengths it finds.
PixelExtent check_structure(Bytes data_set, Encoding encoding);

}  // namespace medical

#endif
