import CMedicalImages
import Foundation

/// The numbers that volumes are stored in.
enum ScalarType {
    case int8, uint8, int16, uint16, int32, uint32, int64, uint64, float32, float64

    var byteCount: Int {
        switch self {
        case .int8, .uint8: 1
        case .int16, .uint16: 2
        case .int32, .uint32, .float32: 4
        case .int64, .uint64, .float64: 8
        }
    }
}

extension Int {
    /// The product; `nil` where it does not fit.
    func product(with other: Int) -> Int? {
        let (product, overflows) = multipliedReportingOverflow(by: other)
        return overflows ? nil : product
    }
}

/// Numbers at any place of some bytes, in either order.
struct EndianReader {
    let bytes: UnsafeRawBufferPointer
    let isBigEndian: Bool

    func integer<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Number.Type) -> Number {
        let stored = bytes.loadUnaligned(fromByteOffset: offset, as: Number.self)
        return isBigEndian ? Number(bigEndian: stored) : Number(littleEndian: stored)
    }

    func float32(_ offset: Int) -> Float { Float(bitPattern: integer(offset, UInt32.self)) }
    func float64(_ offset: Int) -> Double { Double(bitPattern: integer(offset, UInt64.self)) }
}

/// What readers of volumes share.
enum VolumeData {
    /// The most bytes that a compressed volume may have.
    static let maximumInflatedCount = 1 << 32

    static func read(_ url: URL) throws(ImagingError) -> Data {
        do {
            return try Data(contentsOf: url)
        } catch {
            throw ImagingError(.unreadableFile, file: url.path)
        }
    }

    /// The content of gzip data; other data as they are.
    static func inflated(_ data: Data, name: String) throws(ImagingError) -> Data {
        guard data.starts(with: [0x1F, 0x8B]) else { return data }
        return try gunzip(data, name: name)
    }

    static func gunzip(_ data: Data, name: String) throws(ImagingError) -> Data {
        var inflated: UnsafeMutablePointer<UInt8>?
        var count = 0
        try MedicalStatus.check(name: name) { message in
            data.withUnsafeBytes { bytes in
                guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else {
                    return Int32(bitPattern: MEDICAL_MALFORMED.rawValue)
                }
                return medical_gunzip(start, bytes.count, maximumInflatedCount, &inflated, &count, message)
            }
        }
        guard let inflated else { preconditionFailure("inflated data have a place") }
        return Data(bytesNoCopy: inflated, count: count, deallocator: .custom { memory, _ in medical_free(memory) })
    }

    /// Numbers as values times a slope plus an intercept.
    ///
    /// - Precondition: `data` holds them.
    static func scaled(
        _ data: Data,
        type: ScalarType,
        isBigEndian: Bool,
        byteOffset: Int,
        count: Int,
        stride: Int,
        slope: Double,
        intercept: Double
    ) -> [Float] {
        precondition(byteOffset >= 0 && stride > 0 && count > 0, "there are numbers to read")
        precondition(
            byteOffset + ((count - 1) * stride + 1) * type.byteCount <= data.count,
            "the numbers are inside the data"
        )
        return data.withUnsafeBytes { bytes in
            let reader = EndianReader(bytes: bytes, isBigEndian: isBigEndian)
            let step = stride * type.byteCount
            func values(_ number: (Int) -> Double) -> [Float] {
                [Float](unsafeUninitializedCapacity: count) { target, filled in
                    for index in 0..<count {
                        target[index] = Float(number(byteOffset + index * step) * slope + intercept)
                    }
                    filled = count
                }
            }
            switch type {
            case .int8: return values { Double(reader.integer($0, Int8.self)) }
            case .uint8: return values { Double(reader.integer($0, UInt8.self)) }
            case .int16: return values { Double(reader.integer($0, Int16.self)) }
            case .uint16: return values { Double(reader.integer($0, UInt16.self)) }
            case .int32: return values { Double(reader.integer($0, Int32.self)) }
            case .uint32: return values { Double(reader.integer($0, UInt32.self)) }
            case .int64: return values { Double(reader.integer($0, Int64.self)) }
            case .uint64: return values { Double(reader.integer($0, UInt64.self)) }
            case .float32: return values { Double(reader.float32($0)) }
            case .float64: return values { reader.float64($0) }
            }
        }
    }
}
