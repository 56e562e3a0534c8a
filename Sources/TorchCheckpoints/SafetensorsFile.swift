public import Foundation
public import Torch

/// A safetensors file, mapped into memory.
///
/// The format: the header's length as 8 bytes (little-endian), a JSON object `{key: {dtype, shape, data_offsets}}` with
/// an optional `__metadata__` of texts, and the tensors' bytes. Everything is checked when the file is opened: lengths,
/// types, sizes against shapes, that the tensors' bytes neither overlap nor leave holes, and that no key is there twice.
/// Tensors share the mapped memory and keep it alive; writing to one changes memory, never the file.
public final class SafetensorsFile: WeightSource {
    /// The path of the file.
    public var path: String { file.path }

    /// The names of the tensors, in the order of their bytes.
    public let keys: [String]

    /// The texts of the header.
    public let metadata: [String: String]

    private struct Entry {
        let dtype: DType
        let shape: [Int]
        let range: Range<Int>
    }

    private let file: MappedFile
    private let dataStart: Int
    private let entries: [String: Entry]

    /// The longest header that is read, in bytes; the same as in the format's own library.
    public static let maximumHeaderLength = 100_000_000

    /// Opens a file and checks its header; no tensor is read.
    ///
    /// - Throws: ``CheckpointError`` of kind `unreadable`, `malformed` (with the key) or `unsupported` (an element type
    ///   that the tensor layer does not have).
    public init(contentsOf url: URL) throws(CheckpointError) {
        let file = try MappedFile(path: url.path)
        let bytes = UnsafeRawBufferPointer(file.bytes)
        func malformed(_ problem: String, key: String? = nil, expected: String? = nil, got: String? = nil)
            -> CheckpointError
        {
            CheckpointError(.malformed, file: url.path, key: key, problem, expected: expected, got: got)
        }

        guard bytes.count >= 8 else {
            throw malformed("too short for a safetensors file", expected: "at least 8 bytes", got: "\(bytes.count)")
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(Self.maximumHeaderLength), Int(length) <= bytes.count - 8 else {
            throw malformed(
                "the header's length does not fit the file",
                expected: "at most \(min(bytes.count - 8, Self.maximumHeaderLength))",
                got: "\(length)"
            )
        }
        let dataStart = 8 + Int(length)
        let headerBytes = UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart])
        guard headerBytes.first == UInt8(ascii: "{") else { throw malformed("the header does not begin with '{'") }
        let header: HeaderJSON
        do throws(HeaderJSON.ParseError) {
            header = try HeaderJSON(parsing: headerBytes)
        } catch {
            throw malformed("the header is not JSON: \(error.message) at byte \(8 + error.offset)")
        }
        guard case .object(let fields) = header else { throw malformed("the header is not an object") }

        var metadata: [String: String] = [:]
        var entries: [String: Entry] = [:]
        for (key, value) in fields {
            if key == "__metadata__" {
                guard case .object(let texts) = value else {
                    throw malformed("not an object of texts", key: key, got: value.kind)
                }
                for (name, text) in texts {
                    guard case .string(let text) = text else {
                        throw malformed("'\(CheckpointError.shortened(name))' is not a text", key: key, got: text.kind)
                    }
                    metadata[name] = text
                }
            } else {
                entries[key] = try Self.entry(key, value, path: url.path)
            }
        }

        // The tensors' bytes, one after the other, are the rest of the file.
        let ordered = entries.sorted {
            ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
                < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
        }
        var end = 0
        for (key, entry) in ordered {
            guard entry.range.lowerBound == end else {
                let problem = entry.range.lowerBound < end ? "its bytes overlap another's" : "there is a hole before it"
                throw malformed(problem, key: key, expected: "begin \(end)", got: "\(entry.range.lowerBound)")
            }
            end = entry.range.upperBound
        }
        guard end == bytes.count - dataStart else {
            throw malformed(
                "the tensors' bytes do not fill the file",
                key: ordered.last?.key,
                expected: "\(bytes.count - dataStart) bytes of data",
                got: "\(end)"
            )
        }
        self.file = file
        self.dataStart = dataStart
        self.entries = entries
        self.metadata = metadata
        keys = ordered.map(\.key)
    }

    private static func entry(_ key: String, _ value: HeaderJSON, path: String) throws(CheckpointError) -> Entry {
        func malformed(_ problem: String, expected: String? = nil, got: String? = nil) -> CheckpointError {
            CheckpointError(.malformed, file: path, key: key, problem, expected: expected, got: got)
        }
        guard case .object(let fields) = value else { throw malformed("not an object", got: value.kind) }
        var dtype: DType?
        var shape: [Int]?
        var offsets: [Int]?
        for (name, field) in fields {
            switch name {
            case "dtype":
                guard case .string(let code) = field else { throw malformed("'dtype' is not a text", got: field.kind) }
                guard let known = DType(safetensorsCode: code) else {
                    throw CheckpointError(
                        .unsupported,
                        file: path,
                        key: key,
                        "an element type that is not read",
                        expected: "one of \(DType.allCases.map(\.safetensorsCode).joined(separator: " "))",
                        got: "'\(CheckpointError.shortened(code))'"
                    )
                }
                dtype = known
            case "shape":
                guard let sizes = field.sizes, sizes.count <= 64 else {
                    throw malformed("'shape' is not a list of at most 64 sizes", got: field.kind)
                }
                shape = sizes
            case "data_offsets":
                guard let pair = field.sizes, pair.count == 2, pair[0] <= pair[1] else {
                    throw malformed("'data_offsets' is not a begin and an end", got: field.kind)
                }
                offsets = pair
            default:
                throw malformed("an unknown field '\(CheckpointError.shortened(name))'")
            }
        }
        guard let dtype, let shape, let offsets else {
            throw malformed("incomplete", expected: "dtype, shape and data_offsets")
        }
        guard let count = byteCount(shape, dtype) else { throw malformed("its shape is too large", got: "\(shape)") }
        guard count == offsets[1] - offsets[0] else {
            throw malformed(
                "its bytes do not fit its shape",
                expected: "\(count) for \(dtype.rawValue)\(shape)",
                got: "\(offsets[1] - offsets[0])"
            )
        }
        return Entry(dtype: dtype, shape: shape, range: offsets[0]..<offsets[1])
    }

    private func entry(_ key: String) throws(CheckpointError) -> Entry {
        guard let entry = entries[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return entry
    }

    /// The size of each dimension of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func shape(of key: String) throws(CheckpointError) -> [Int] { try entry(key).shape }

    /// The element type of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func dtype(of key: String) throws(CheckpointError) -> DType { try entry(key).dtype }

    /// A tensor that shares the mapped memory.
    ///
    /// A tensor that does not begin at a multiple of its element size is copied.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func tensor(named key: String) throws(CheckpointError) -> Tensor {
        let entry = try entry(key)
        let bytes = UnsafeMutableRawBufferPointer(
            rebasing: file.bytes[dataStart + entry.range.lowerBound..<dataStart + entry.range.upperBound]
        )
        return try RawTensor(shape: entry.shape, strides: nil, dtype: entry.dtype, bytes: bytes, owner: file)
            .tensor(path: path, key: key)
    }

    // MARK: Writing

    /// Writes tensors to a file, which is there completely or not at all.
    ///
    /// The bytes depend on names, tensors and metadata only, not on the order: wide element types come first, then the
    /// order is by name, and data begin at a multiple of 64 bytes. Tensors are copied from other devices one by one.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` when a name is there twice or reserved, or with the path and
    ///   the system's reason.
    public static func write(
        _ tensors: [(String, Tensor)],
        metadata: [String: String] = [:],
        to url: URL
    ) throws(CheckpointError) {
        var seen: Set<String> = []
        for (name, _) in tensors where !seen.insert(name).inserted {
            throw CheckpointError(.unwritable, file: url.path, key: name, "the key is there twice")
        }
        try write(TensorWeights(tensors.map { (name: $0.0, tensor: $0.1) }), metadata: metadata, to: url)
    }

    /// Writes the tensors of a source to a file, which is there completely or not at all.
    ///
    /// Tensors are asked for one by one in the order of the file, so that a source that computes or maps them never has
    /// more than one in memory. The form is the same as for tensors in memory.
    ///
    /// - Parameters:
    ///   - source: The tensors.
    ///   - keys: Which of them; `nil` is all.
    ///   - metadata: Texts for the header.
    ///   - url: The file.
    /// - Throws: ``CheckpointError`` of kind `unwritable` when a name is reserved, or with the path and the system's
    ///   reason, or what the source throws.
    public static func write(
        _ source: any WeightSource,
        keys: [String]? = nil,
        metadata: [String: String] = [:],
        to url: URL
    ) throws(CheckpointError) {
        var entries: [(name: String, dtype: DType, shape: [Int], byteCount: Int)] = []
        for name in keys ?? source.keys {
            guard name != "__metadata__" else {
                throw CheckpointError(.unwritable, file: url.path, key: name, "the key is reserved")
            }
            let (shape, dtype) = (try source.shape(of: name), try source.dtype(of: name))
            guard let count = byteCount(shape, dtype) else {
                throw CheckpointError(.unwritable, file: url.path, key: name, "its shape is too large", got: "\(shape)")
            }
            entries.append((name: name, dtype: dtype, shape: shape, byteCount: count))
        }
        entries.sort { ($1.dtype.byteCount, $0.name) < ($0.dtype.byteCount, $1.name) }
        var fields: [String] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key < $1.key }
                .map { "\(HeaderJSON.quoted($0.key)):\(HeaderJSON.quoted($0.value))" }
            fields.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
        }
        var end = 0
        for entry in entries {
            let shape = entry.shape.map(String.init).joined(separator: ",")
            let begin = end
            end += entry.byteCount
            fields.append(
                "\(HeaderJSON.quoted(entry.name)):{\"dtype\":\"\(entry.dtype.safetensorsCode)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(begin),\(end)]}"
            )
        }
        var header = Data("{\(fields.joined(separator: ","))}".utf8)
        header.append(Data(repeating: 0x20, count: (64 - (8 + header.count) % 64) % 64))
        guard header.count <= maximumHeaderLength else {
            throw CheckpointError(.unwritable, file: url.path, "a header of \(header.count) bytes is too long")
        }
        let length = UInt64(header.count).littleEndian
        try DurableFile.write(to: url) { writer throws(CheckpointError) in
            try writer.write(withUnsafeBytes(of: length) { Data($0) } + header)
            for entry in entries {
                let tensor = try source.tensor(named: entry.name)
                guard tensor.dtype == entry.dtype, tensor.shape == entry.shape else {
                    throw CheckpointError(
                        .tensor,
                        file: source.path,
                        key: entry.name,
                        "the tensor is not as announced",
                        expected: "\(entry.dtype.rawValue)\(entry.shape)",
                        got: tensor.summary
                    )
                }
                do {
                    try tensor.withHostBytes { bytes in try writer.write(bytes) }
                } catch let error as CheckpointError {
                    throw error
                } catch {
                    throw CheckpointError(.tensor, file: url.path, key: entry.name, "\(error)")
                }
            }
        }
    }
}

/// The bytes of a tensor of a shape, `nil` when the number does not fit.
func byteCount(_ shape: [Int], _ dtype: DType) -> Int? {
    var count = dtype.byteCount
    // A zero anywhere makes the product zero, so it may not overflow before it.
    if shape.contains(0) { return 0 }
    for size in shape {
        let (product, overflow) = count.multipliedReportingOverflow(by: size)
        if overflow || size < 0 { return nil }
        count = product
    }
    return count
}

extension DType {
    var safetensorsCode: String {
        switch self {
        case .uint8: "U8"
        case .int8: "I8"
        case .int16: "I16"
        case .int32: "I32"
        case .int64: "I64"
        case .float16: "F16"
        case .bfloat16: "BF16"
        case .float32: "F32"
        case .float64: "F64"
        case .bool: "BOOL"
        }
    }

    init?(safetensorsCode code: String) {
        guard let match = DType.allCases.first(where: { $0.safetensorsCode == code }) else { return nil }
        self = match
    }
}

/// Elements in the memory of an owner, checked to lie inside it.
struct RawTensor {
    let shape: [Int]
    /// In elements, row-major when `nil`.
    let strides: [Int]?
    let dtype: DType
    /// From the first element on; it holds everything that shape and strides reach.
    let bytes: UnsafeMutableRawBufferPointer
    let owner: AnyObject

    func tensor(path: String, key: String?) throws(CheckpointError) -> Tensor {
        // Memory where a truth value is neither 0 nor 1 must not reach Swift.
        if dtype == .bool, let wrong = bytes.first(where: { $0 > 1 }) {
            throw CheckpointError(
                .malformed,
                file: path,
                key: key,
                "a truth value is neither 0 nor 1",
                got: "\(wrong)"
            )
        }
        do throws(TorchError) {
            guard let base = bytes.baseAddress, !bytes.isEmpty, !shape.contains(0) else {
                return try Tensor.empty(shape, dtype: dtype)
            }
            let isAligned = Int(bitPattern: base) % dtype.byteCount == 0
            if !isAligned, strides == nil {
                return try Tensor(copying: UnsafeRawBufferPointer(bytes), shape: shape, dtype: dtype)
            }
            return try Tensor(memory: base, shape: shape, strides: strides, dtype: dtype, owner: owner)
        } catch {
            throw CheckpointError(.tensor, file: path, key: key, "\(error)")
        }
    }
}
