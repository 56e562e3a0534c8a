private import CTorch

/// The type of a tensor's elements.
public enum DType: String, Sendable, Codable, CaseIterable {
    case uint8
    case int8
    case int16
    case int32
    case int64
    case float16
    case bfloat16
    case float32
    case float64
    case bool

    /// The bytes of one element.
    public var byteCount: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .int16, .float16, .bfloat16: 2
        case .int32, .float32: 4
        case .int64, .float64: 8
        }
    }

    /// Whether the type holds fractions.
    public var isFloatingPoint: Bool {
        switch self {
        case .float16, .bfloat16, .float32, .float64: true
        default: false
        }
    }

    var code: Int32 {
        switch self {
        case .uint8: Int32(CT_UINT8)
        case .int8: Int32(CT_INT8)
        case .int16: Int32(CT_INT16)
        case .int32: Int32(CT_INT32)
        case .int64: Int32(CT_INT64)
        case .float16: Int32(CT_FLOAT16)
        case .bfloat16: Int32(CT_BFLOAT16)
        case .float32: Int32(CT_FLOAT32)
        case .float64: Int32(CT_FLOAT64)
        case .bool: Int32(CT_BOOL)
        }
    }

    init(code: Int32) {
        guard let match = DType.allCases.first(where: { $0.code == code }) else {
            preconditionFailure("LibTorch returned a tensor of an element type that is never asked for (code \(code))")
        }
        self = match
    }
}

/// A Swift type whose values are tensor elements.
public protocol TensorElement: BitwiseCopyable, Sendable {
    /// The element type as LibTorch names it.
    static var dtype: DType { get }
}

extension UInt8: TensorElement {
    /// `uint8`.
    public static var dtype: DType { .uint8 }
}
extension Int32: TensorElement {
    /// `int32`.
    public static var dtype: DType { .int32 }
}
extension Int: TensorElement {
    /// `int64`.
    public static var dtype: DType { .int64 }
}
extension Int64: TensorElement {
    /// `int64`.
    public static var dtype: DType { .int64 }
}
extension Float: TensorElement {
    /// `float32`.
    public static var dtype: DType { .float32 }
}
extension Double: TensorElement {
    /// `float64`.
    public static var dtype: DType { .float64 }
}
extension Bool: TensorElement {
    /// `bool`.
    public static var dtype: DType { .bool }
}
