/// What a file of weights is, told from its first bytes.
enum FileForm: Equatable {
    /// A zip archive, as `torch.save` writes since PyTorch 1.6.
    case archive
    /// Pickles and storages one after another, as `torch.save` wrote before PyTorch 1.6.
    case sequence
    /// Safetensors, or nothing that is known.
    case safetensors
    /// Something known that is not read, with the reason in a few words.
    case refused(String)

    /// How many bytes ``init(firstBytes:)`` looks at.
    static let neededBytes = 512

    /// What a file before PyTorch 1.6 begins with: a pickle of a number of ten bytes.
    static let sequenceSignature: [UInt8] = [
        0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]

    private static let signatures: [(offset: Int, bytes: [UInt8], reason: String)] = [
        (257, Array("ustar".utf8), "a tar archive, as PyTorch wrote before version 0.1.10; save it again"),
        (0, Array("version https://git-lfs".utf8), "a pointer of Git LFS; the weights themselves were not fetched"),
        (0, Array("GGUF".utf8), "a GGUF file; expected safetensors or what torch.save wrote"),
        (0, Array("\u{89}HDF".unicodeScalars.map { UInt8($0.value) }), "an HDF5 file; expected safetensors or .pth"),
        (0, Array("\u{93}NUMPY".unicodeScalars.map { UInt8($0.value) }), "a NumPy array; expected safetensors or .pth"),
        (0, [0x1F, 0x8B], "a file compressed with gzip; unpack it first"),
        (0, [0x50, 0x4B, 0x05, 0x06], "a zip archive without entries"),
        (0, Array("<!DOCTYPE".utf8), "a web page, no weights"), (0, Array("<html".utf8), "a web page, no weights"),
        (0, Array("{\"".utf8), "a JSON text; expected safetensors or what torch.save wrote"),
    ]

    /// Tells the form; fewer than ``neededBytes`` are enough for a short file.
    init(firstBytes bytes: [UInt8]) {
        // The header of a safetensors file is an object; the length before it may begin as anything.
        if bytes.count > 8, bytes[8] == UInt8(ascii: "{"), bytes[5..<8].allSatisfy({ $0 == 0 }) {
            self = .safetensors
        } else if bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) {
            self = .archive
        } else if bytes.starts(with: FileForm.sequenceSignature) {
            self = .sequence
        } else if let known = FileForm.signatures.first(where: { bytes.dropFirst($0.offset).starts(with: $0.bytes) }) {
            self = .refused(known.reason)
        } else if bytes.count >= 2, bytes[0] == 0x80, (1...5).contains(bytes[1]) {
            self = .refused(
                "a pickle outside an archive, which torch.save has not written since PyTorch 1.6; save it again"
            )
        } else {
            self = .safetensors
        }
    }
}
