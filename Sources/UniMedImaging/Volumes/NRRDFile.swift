public import Foundation

/// An NRRD file: a header as text over raw, gzip or ASCII numbers, in one file or with the numbers in another.
public struct NRRDFile: Sendable {
    private let header: Header
    private let content: Data
    /// What errors call the file.
    public let name: String

    struct Header {
        var type: ScalarType
        var sizes: [Int]
        var encoding: Encoding
        var isBigEndian: Bool
        /// The step along each axis in millimetres; `nil` for axes that are not of space.
        var directions: [[Double]?]
        var origin: [Double]
        /// What turns the file's space into right, anterior, superior.
        var signs: [Double]
        var dataFile: String?
        var lineSkip: Int
        var byteSkip: Int
    }

    enum Encoding: String {
        case raw
        case gzip
        case ascii
    }

    /// Opens a file; numbers in another file are looked for beside it.
    ///
    /// - Throws: ``ImagingError`` with the file's path.
    public init(contentsOf url: URL) throws(ImagingError) {
        try self.init(data: VolumeData.read(url), name: url.path) { (file) throws(ImagingError) in
            try VolumeData.read(url.deletingLastPathComponent().appendingPathComponent(file))
        }
    }

    /// Opens the content of a file that holds its numbers.
    ///
    /// - Throws: ``ImagingError`` with the name.
    public init(data: Data, name: String) throws(ImagingError) {
        try self.init(data: data, name: name) { (_) throws(ImagingError) in
            throw ImagingError(.noImage, file: name, detail: "'data file': the voxels are in another file")
        }
    }

    private init(
        data: Data,
        name: String,
        other: (String) throws(ImagingError) -> Data
    ) throws(ImagingError) {
        let (header, end) = try Self.header([UInt8](data.prefix(1 << 20)), name: name)
        var body: Data
        if let file = header.dataFile {
            guard !file.contains("/"), !file.contains("%"), file != "..", file != "LIST" else {
                throw ImagingError(.unsupported, file: name, detail: "'data file': not one file beside the header")
            }
            body = try other(file)
        } else {
            body = data.dropFirst(end)
        }
        for _ in 0..<header.lineSkip {
            guard let newline = body.firstIndex(of: 0x0A) else {
                throw ImagingError(.malformed, file: name, detail: "'line skip' is more than there are lines")
            }
            body = body[(newline + 1)...]
        }
        if header.encoding == .gzip { body = try VolumeData.gunzip(Data(body), name: name) }
        let count = header.sizes.reduce(1, *)
        if header.encoding == .ascii {
            body = try Self.numbers(in: body, count: count, name: name)
        } else {
            let bytes = count * header.type.byteCount
            let skip = header.byteSkip == -1 ? body.count - bytes : header.byteSkip
            guard skip >= 0, skip <= body.count, bytes <= body.count - skip else {
                let detail = "'sizes' say \(bytes) bytes of voxels, there are \(body.count)"
                throw ImagingError(.malformed, file: name, detail: detail)
            }
            body = body.dropFirst(skip)
        }
        self.header = header
        self.name = name
        content = Data(body)
    }

    /// The numbers of ASCII data as those of 64 bits in this machine's order.
    private static func numbers(in body: Data, count: Int, name: String) throws(ImagingError) -> Data {
        var result = Data()
        var found = 0
        for word in body.split(whereSeparator: { [0x20, 0x09, 0x0A, 0x0D, 0x2C].contains($0) }) {
            guard found < count else { break }
            guard word.count < 64, let number = Double(String(decoding: word, as: UTF8.self)) else {
                throw ImagingError(.malformed, file: name, detail: "the voxels hold something that is no number")
            }
            withUnsafeBytes(of: number.bitPattern.littleEndian) { result.append(contentsOf: $0) }
            found += 1
        }
        guard found == count else {
            throw ImagingError(.malformed, file: name, detail: "'sizes' say \(count) voxels, there are \(found)")
        }
        return result
    }

    // MARK: - Header

    private static let types: [String: ScalarType] = {
        let names: [(ScalarType, [String])] = [
            (.int8, ["signed char", "int8", "int8_t"]),
            (.uint8, ["uchar", "unsigned char", "uint8", "uint8_t"]),
            (.int16, ["short", "short int", "signed short", "signed short int", "int16", "int16_t"]),
            (.uint16, ["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"]),
            (.int32, ["int", "signed int", "int32", "int32_t"]),
            (.uint32, ["uint", "unsigned int", "uint32", "uint32_t"]),
            (
                .int64,
                [
                    "longlong", "long long", "long long int", "signed long long", "signed long long int", "int64",
                    "int64_t",
                ]
            ),
            (
                .uint64,
                ["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"]
            ),
            (.float32, ["float"]),
            (.float64, ["double"]),
        ]
        return Dictionary(uniqueKeysWithValues: names.flatMap { type, names in names.map { ($0, type) } })
    }()

    private static func header(_ bytes: [UInt8], name: String) throws(ImagingError) -> (Header, end: Int) {
        func fault(_ detail: String) -> ImagingError { ImagingError(.malformed, file: name, detail: detail) }
        var fields: [String: String] = [:]
        var position = 0
        var lineNumber = 0
        while true {
            guard let end = bytes[position...].firstIndex(of: 0x0A) ?? (position < bytes.count ? bytes.count : nil)
            else { break }
            var line = String(decoding: bytes[position..<end], as: UTF8.self)
            position = min(end + 1, bytes.count)
            if line.hasSuffix("\r") { line.removeLast() }
            lineNumber += 1
            if lineNumber == 1 {
                guard line.hasPrefix("NRRD000") else { throw fault("this is not an NRRD file") }
                continue
            }
            if line.isEmpty { break }
            if line.hasPrefix("#") || line.contains(":=") { continue }
            guard let colon = line.range(of: ": ") ?? line.range(of: ":") else {
                throw fault("line \(lineNumber) of the header is no field")
            }
            let key = line[..<colon.lowerBound].lowercased().trimmingCharacters(in: .whitespaces)
            fields[key] = line[colon.upperBound...].trimmingCharacters(in: .whitespaces)
        }
        func integer(_ field: String, or other: String? = nil) throws(ImagingError) -> Int? {
            guard let text = fields[field] ?? other.flatMap({ fields[$0] }) else { return nil }
            guard let number = Int(text) else { throw fault("'\(field)' is no number") }
            return number
        }
        guard let typeName = fields["type"]?.lowercased() else { throw fault("'type' is missing") }
        guard let type = types[typeName] else { throw ImagingError(.unsupported, file: name, detail: "'type'") }
        guard let dimension = try integer("dimension"), (2...8).contains(dimension) else {
            throw fault("'dimension' is missing or not 2 to 8")
        }
        let sizes = (fields["sizes"] ?? "").split(separator: " ").compactMap { Int($0) }
        guard sizes.count == dimension, sizes.allSatisfy({ $0 > 0 }) else {
            throw fault("'sizes' are not \(dimension) positive numbers")
        }
        guard let count = sizes.reduce(8 as Int?, { total, size in total.flatMap { $0.product(with: size) } }),
            count / 8 <= 8 * ImageVolume.maximumVoxelCount
        else { throw ImagingError(.tooLarge, file: name, detail: "'sizes'") }
        let encoding: Encoding
        switch fields["encoding"]?.lowercased() {
        case "raw": encoding = .raw
        case "gzip", "gz": encoding = .gzip
        case "ascii", "txt", "text": encoding = .ascii
        case nil: throw fault("'encoding' is missing")
        default: throw ImagingError(.unsupported, file: name, detail: "'encoding'")
        }
        let endian = fields["endian"]?.lowercased()
        guard encoding == .ascii || type.byteCount == 1 || endian == "little" || endian == "big" else {
            throw fault("'endian' is missing or neither little nor big")
        }
        let isAscii = encoding == .ascii
        var header = Header(
            type: isAscii ? .float64 : type,
            sizes: sizes,
            encoding: encoding,
            isBigEndian: !isAscii && endian == "big",
            directions: [],
            origin: [0, 0, 0],
            signs: try signs(fields["space"], name: name),
            dataFile: fields["data file"] ?? fields["datafile"],
            lineSkip: try integer("line skip", or: "lineskip") ?? 0,
            byteSkip: try integer("byte skip", or: "byteskip") ?? 0
        )
        guard (0...1_000_000).contains(header.lineSkip) else { throw fault("'line skip' is \(header.lineSkip)") }
        guard header.byteSkip >= -1, header.byteSkip != -1 || encoding == .raw else {
            throw fault("'byte skip' is \(header.byteSkip)")
        }
        if let text = fields["space directions"] {
            header.directions = try vectors(text, field: "space directions", name: name)
            guard header.directions.count == dimension else { throw fault("'space directions' are not \(dimension)") }
        } else {
            let kinds = (fields["kinds"] ?? "").lowercased().split(separator: " ").map(String.init)
            let steps = (fields["spacings"] ?? "").lowercased().split(separator: " ").map { Double($0) ?? .nan }
            var axis = 0
            header.directions = (0..<dimension).map { index in
                let isSpace = kinds.count != dimension || ["domain", "space", "???", "none"].contains(kinds[index])
                guard isSpace, axis < 3 else { return nil }
                let step = steps.count == dimension && steps[index].isFinite ? steps[index] : 1
                defer { axis += 1 }
                return (0..<3).map { $0 == axis ? step : 0 }
            }
        }
        if let text = fields["space origin"] {
            guard let origin = try vectors(text, field: "space origin", name: name).first ?? nil else {
                throw fault("'space origin' is no place")
            }
            header.origin = origin
        }
        guard (2...3).contains(header.directions.count { $0 != nil }) else {
            throw ImagingError(.unsupported, file: name, detail: "'space directions': neither 2 nor 3 axes of space")
        }
        let places = header.directions.indices.filter { header.directions[$0] != nil }
        guard let first = places.first, let last = places.last, last - first + 1 == places.count else {
            throw ImagingError(.unsupported, file: name, detail: "'space directions': an axis between those of space")
        }
        return (header, position)
    }

    private static func signs(_ space: String?, name: String) throws(ImagingError) -> [Double] {
        switch space?.lowercased() {
        case nil, "right-anterior-superior", "ras", "right-anterior-superior-time", "rast", "scanner-xyz",
            "scanner-xyz-time", "3d-right-handed", "3d-right-handed-time":
            return [1, 1, 1]
        case "left-anterior-superior", "las", "left-anterior-superior-time", "last": return [-1, 1, 1]
        case "left-posterior-superior", "lps", "left-posterior-superior-time", "lpst": return [-1, -1, 1]
        default: throw ImagingError(.unsupported, file: name, detail: "'space'")
        }
    }

    /// Reads `(1,0,0) none (0,1,0)`.
    private static func vectors(_ text: String, field: String, name: String) throws(ImagingError) -> [[Double]?] {
        var result: [[Double]?] = []
        var rest = text[...]
        while let start = rest.firstIndex(where: { !$0.isWhitespace }) {
            rest = rest[start...]
            if rest.lowercased().hasPrefix("none") {
                result.append(nil)
                rest = rest.dropFirst(4)
                continue
            }
            guard rest.first == "(", let end = rest.firstIndex(of: ")") else {
                throw ImagingError(.malformed, file: name, detail: "'\(field)'")
            }
            let numbers = rest[rest.index(after: start)..<end].split(separator: ",").map {
                Double($0.trimmingCharacters(in: .whitespaces)) ?? .nan
            }
            guard (2...4).contains(numbers.count), numbers.allSatisfy(\.isFinite) else {
                throw ImagingError(.malformed, file: name, detail: "'\(field)'")
            }
            result.append((0..<3).map { $0 < numbers.count ? numbers[$0] : 0 })
            rest = rest[rest.index(after: end)...]
        }
        return result
    }

    // MARK: - Volumes

    /// The number of voxels along each axis of the file, the fastest first.
    public var sizes: [Int] { header.sizes }

    private var spaceAxes: [Int] { header.directions.indices.filter { header.directions[$0] != nil } }

    /// The number of volumes: the product of the axes that are not of space.
    public var volumeCount: Int {
        header.directions.indices.filter { header.directions[$0] == nil }.reduce(1) { $0 * header.sizes[$1] }
    }

    /// The place of a voxel in the patient, see ``ImageVolume/affine``.
    public var affine: [[Double]] {
        var columns = spaceAxes.compactMap { header.directions[$0] }
        if columns.count == 2 {
            let (a, b) = (columns[0], columns[1])
            let normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
            let length = normal.reduce(0) { $0 + $1 * $1 }.squareRoot()
            columns.append(length > 0 ? normal.map { $0 / length } : [0, 0, 1])
        }
        return (0..<3).map { row in
            (columns.map { $0[row] } + [header.origin[row]]).map { $0 * header.signs[row] }
        }
    }

    /// One volume of the file.
    ///
    /// - Parameter index: Its number along the axes that are not of space, the faster ones first.
    /// - Throws: ``ImagingError`` when there is no such volume or it has more than
    ///   ``ImageVolume/maximumVoxelCount`` voxels.
    public func volume(at index: Int = 0) throws(ImagingError) -> ImageVolume {
        guard (0..<volumeCount).contains(index) else {
            throw ImagingError(.malformed, file: name, detail: "there is no volume \(index) of \(volumeCount)")
        }
        let axes = spaceAxes
        let sizes = (0..<3).map { $0 < axes.count ? header.sizes[axes[$0]] : 1 }
        let count = sizes.reduce(1, *)
        guard count <= ImageVolume.maximumVoxelCount else {
            throw ImagingError(.tooLarge, file: name, detail: "\(count) voxels")
        }
        // Axes in front of those of space are components of a voxel, those behind them volumes.
        let components = header.sizes[..<axes[0]].reduce(1, *)
        let start = index % components + index / components * components * count
        let values = VolumeData.scaled(
            content,
            type: header.type,
            isBigEndian: header.isBigEndian,
            byteOffset: start * header.type.byteCount,
            count: count,
            stride: components,
            slope: 1,
            intercept: 0
        )
        return ImageVolume(slices: sizes[2], rows: sizes[1], columns: sizes[0], values: values, affine: affine)
    }

    func picture(rendering: GrayRendering) throws(ImagingError) -> RGBImage {
        try volume().middlePicture(rendering: rendering, fileWindow: nil)
    }

    func pictureSize() throws(ImagingError) -> ImageFile.Size {
        let axes = spaceAxes
        let sizes = (0..<3).map { $0 < axes.count ? header.sizes[axes[$0]] : 1 }
        return try VolumeOrientation.pictureSize(sizes: sizes, affine: affine, name: name)
    }
}
