package import CTorch

/// An array of numbers of one type and shape on one device, owned by LibTorch.
///
/// Operations throw ``TorchError`` with the operation's name and the operands' shapes. Tensors are not `Sendable`: a model
/// has one owner.
public final class Tensor {
    package let handle: CTTensorRef

    /// Takes over the reference that `handle` owns.
    package init(owning handle: CTTensorRef) {
        self.handle = handle
    }

    deinit { ct_tensor_release(handle) }

    /// Runs one operation and keeps its operands alive until it has returned.
    ///
    /// Swift may release an object after its last use, before a C call that was given its handle returns: every call goes
    /// through here.
    @inline(__always)
    static func make(
        _ operation: StaticString,
        _ a: Tensor,
        _ b: Tensor? = nil,
        _ c: Tensor? = nil,
        _ body: (UnsafeMutablePointer<CTTensorRef?>) -> Int32
    ) throws(TorchError) -> Tensor {
        var out: CTTensorRef?
        let status = body(&out)
        withExtendedLifetime(a) {}
        withExtendedLifetime(b) {}
        withExtendedLifetime(c) {}
        guard status == CT_OK, let out else {
            throw Runtime.failure(operation, status, operands: [a, b, c].compactMap { $0 })
        }
        return Tensor(owning: out)
    }

    /// The same for operations that change their first operand.
    @inline(__always)
    @discardableResult
    func mutate(
        _ operation: StaticString,
        _ b: Tensor? = nil,
        _ c: Tensor? = nil,
        _ body: () -> Int32
    ) throws(TorchError) -> Tensor {
        let status = body()
        withExtendedLifetime(b) {}
        withExtendedLifetime(c) {}
        guard status == CT_OK else {
            throw Runtime.failure(operation, status, operands: [self, b, c].compactMap { $0 })
        }
        return self
    }

    /// Calls `body` with the handles of a list of tensors, which stay alive over the call.
    @inline(__always)
    static func withHandles<Result>(
        _ tensors: [Tensor],
        _ body: (UnsafePointer<CTTensorRef>) -> Result
    ) -> Result {
        // One element more than needed, so that an empty list has an address too; the callee reads only the real ones.
        withUnsafeTemporaryAllocation(of: CTTensorRef.self, capacity: tensors.count + 1) { handles in
            for (index, tensor) in tensors.enumerated() { handles.initializeElement(at: index, to: tensor.handle) }
            guard let base = handles.baseAddress else { preconditionFailure("a temporary allocation has an address") }
            return withExtendedLifetime(tensors) { body(base) }
        }
    }

    // MARK: Creation

    static func create(
        _ operation: StaticString,
        _ body: (UnsafeMutablePointer<CTTensorRef?>) -> Int32
    ) throws(TorchError) -> Tensor {
        var out: CTTensorRef?
        let status = body(&out)
        guard status == CT_OK, let out else { throw Runtime.failure(operation, status, operands: []) }
        return Tensor(owning: out)
    }

    /// A tensor whose elements are not set.
    public static func empty(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws(TorchError)
        -> Tensor
    {
        try create("empty") { out in
            ct_tensor_empty(shape, Int32(shape.count), dtype.code, device.code.kind, device.code.index, out)
        }
    }

    /// A tensor of one repeated value.
    public static func full(
        _ shape: [Int],
        _ value: Double,
        dtype: DType = .float32,
        device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        try create("full") { out in
            ct_tensor_full(shape, Int32(shape.count), value, dtype.code, device.code.kind, device.code.index, out)
        }
    }

    /// A tensor of zeros.
    public static func zeros(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws(TorchError)
        -> Tensor
    {
        try full(shape, 0, dtype: dtype, device: device)
    }

    /// A tensor of ones.
    public static func ones(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws(TorchError) -> Tensor
    {
        try full(shape, 1, dtype: dtype, device: device)
    }

    /// The numbers `start`, `start + step`, … below `end`: `[count]`.
    public static func arange(
        _ start: Double = 0,
        _ end: Double,
        step: Double = 1,
        dtype: DType = .int64,
        device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        try create("arange") { out in
            ct_tensor_arange(start, end, step, dtype.code, device.code.kind, device.code.index, out)
        }
    }

    /// Normally distributed numbers.
    public static func normal(
        _ shape: [Int],
        mean: Double = 0,
        deviation: Double = 1,
        generator: Generator? = nil,
        dtype: DType = .float32,
        device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        try empty(shape, dtype: dtype, device: device).fillNormal(
            mean: mean,
            deviation: deviation,
            generator: generator
        )
    }

    /// A copy of Swift values on the CPU, in row-major order.
    ///
    /// - Throws: ``TorchError`` when the count does not fit the shape.
    public convenience init<Element: TensorElement>(_ values: [Element], shape: [Int]? = nil) throws(TorchError) {
        let sizes = shape ?? [values.count]
        var out: CTTensorRef?
        let status = values.withUnsafeBytes { bytes in
            ct_tensor_copy_memory(bytes.baseAddress, bytes.count, sizes, Int32(sizes.count), Element.dtype.code, &out)
        }
        guard status == CT_OK, let out else { throw Runtime.failure("copy", status, operands: []) }
        self.init(owning: out)
    }

    /// A copy of bytes in host memory, read as elements of `dtype` in row-major order.
    ///
    /// - Throws: ``TorchError`` when the byte count does not fit the shape.
    public convenience init(
        copying bytes: UnsafeRawBufferPointer,
        shape: [Int],
        dtype: DType
    ) throws(TorchError) {
        var out: CTTensorRef?
        let status = ct_tensor_copy_memory(bytes.baseAddress, bytes.count, shape, Int32(shape.count), dtype.code, &out)
        guard status == CT_OK, let out else { throw Runtime.failure("copy", status, operands: []) }
        self.init(owning: out)
    }

    /// Wraps host memory without copying it.
    ///
    /// - Parameters:
    ///   - memory: The first element. It must hold all that shape and strides reach for as long as `owner` lives.
    ///   - strides: In elements; row-major when `nil`.
    ///   - owner: Kept alive until the last tensor that uses the memory is gone.
    public convenience init(
        memory: UnsafeMutableRawPointer,
        shape: [Int],
        strides: [Int]? = nil,
        dtype: DType,
        owner: AnyObject
    ) throws(TorchError) {
        let context = Unmanaged.passRetained(owner)
        let release: @convention(c) (UnsafeMutableRawPointer?) -> Void = { pointer in
            if let pointer { Unmanaged<AnyObject>.fromOpaque(pointer).release() }
        }
        var out: CTTensorRef?
        let status: Int32
        if let strides {
            status = ct_tensor_wrap_memory(
                memory,
                shape,
                strides,
                Int32(shape.count),
                dtype.code,
                release,
                context.toOpaque(),
                &out
            )
        } else {
            status = ct_tensor_wrap_memory(
                memory,
                shape,
                nil,
                Int32(shape.count),
                dtype.code,
                release,
                context.toOpaque(),
                &out
            )
        }
        guard status == CT_OK, let out else { throw Runtime.failure("wrap", status, operands: []) }
        self.init(owning: out)
    }

    // MARK: Inspection

    /// The number of dimensions.
    public var rank: Int { Int(ct_tensor_rank(handle)) }

    /// The size of each dimension.
    public var shape: [Int] {
        let rank = ct_tensor_rank(handle)
        return (0..<rank).map { ct_tensor_size(handle, $0) }
    }

    /// The step of each dimension, in elements.
    public var strides: [Int] {
        let rank = ct_tensor_rank(handle)
        return (0..<rank).map { ct_tensor_stride(handle, $0) }
    }

    /// The size of one dimension; negative numbers count from the last.
    ///
    /// - Precondition: The dimension exists.
    public func size(_ dimension: Int) -> Int {
        let rank = Int(ct_tensor_rank(handle))
        let index = dimension < 0 ? dimension + rank : dimension
        precondition(index >= 0 && index < rank, "dimension \(dimension) of a tensor with \(rank) dimensions")
        return ct_tensor_size(handle, Int32(index))
    }

    /// The number of elements.
    public var count: Int { ct_tensor_count(handle) }

    /// The bytes of all elements.
    public var byteCount: Int { count * dtype.byteCount }

    /// The element type.
    public var dtype: DType { DType(code: ct_tensor_dtype(handle)) }

    /// The device the tensor lives on.
    public var device: Device {
        switch Int(ct_tensor_device(handle)) {
        case CT_CPU: .cpu
        case CT_META: .meta
        default: .cuda(Int(ct_tensor_device_index(handle)))
        }
    }

    /// Whether the elements lie in row-major order without gaps.
    public var isContiguous: Bool { ct_tensor_is_contiguous(handle) }

    /// Dtype and shape in a few characters, for messages.
    public var summary: String { "\(dtype.rawValue)\(shape)" }

    /// Whether two tensors use the same memory.
    public func sharesStorage(with other: Tensor) -> Bool {
        withExtendedLifetime((self, other)) { ct_tensor_shares_storage(handle, other.handle) }
    }

    // MARK: Reading

    /// The elements in row-major order, copied to the host.
    ///
    /// - Throws: ``TorchError`` when `Element` is not the tensor's element type.
    public func array<Element: TensorElement>(of type: Element.Type = Element.self) throws(TorchError) -> [Element] {
        guard dtype == Element.dtype else {
            throw TorchError(
                operation: "array",
                operands: [summary],
                message: "asked for elements of type \(Element.dtype.rawValue)"
            )
        }
        let bytes = byteCount
        var status: Int32 = 0
        let result = [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
            if bytes > 0, let base = buffer.baseAddress { status = ct_tensor_read(handle, base, bytes) }
            initialized = status == CT_OK ? count : 0
        }
        guard status == CT_OK else { throw Runtime.failure("array", status, operands: [self]) }
        return result
    }

    /// Calls `body` with the elements' bytes in row-major order, copying them to the host only if they are not there.
    public func withHostBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        let host = try to(.cpu).contiguous()
        return try withExtendedLifetime(host) {
            try body(UnsafeRawBufferPointer(start: ct_tensor_data(host.handle), count: host.byteCount))
        }
    }

    /// The only element as a number.
    ///
    /// - Throws: ``TorchError`` unless there is exactly one element. On an accelerator this waits for its queue.
    public func item() throws(TorchError) -> Double {
        var value = 0.0
        let status = ct_tensor_item(handle, &value)
        guard status == CT_OK else { throw Runtime.failure("item", status, operands: [self]) }
        return value
    }

    // MARK: Copies and casts

    /// The tensor with another element type, itself when it has it already.
    public func to(_ dtype: DType) throws(TorchError) -> Tensor {
        try Tensor.make("to", self) { ct_tensor_to_dtype(handle, dtype.code, $0) }
    }

    /// The tensor on another device, itself when it is there already.
    public func to(_ device: Device, nonBlocking: Bool = false) throws(TorchError) -> Tensor {
        try Tensor.make("to", self) {
            ct_tensor_to_device(handle, device.code.kind, device.code.index, nonBlocking, $0)
        }
    }

    /// A copy in memory of its own.
    public func clone() throws(TorchError) -> Tensor {
        try Tensor.make("clone", self) { ct_tensor_clone(handle, $0) }
    }

    /// The tensor in row-major order without gaps, itself when it is so already.
    public func contiguous() throws(TorchError) -> Tensor {
        try Tensor.make("contiguous", self) { ct_tensor_contiguous(handle, $0) }
    }

    /// The same memory without the record of how it was computed.
    public func detach() throws(TorchError) -> Tensor {
        try Tensor.make("detach", self) { ct_tensor_detach(handle, $0) }
    }

    /// Copies the elements of another tensor into this one, converting type and device.
    @discardableResult
    public func copy(from source: Tensor) throws(TorchError) -> Tensor {
        try mutate("copy", source) { ct_tensor_copy_(handle, source.handle) }
    }

    /// Sets every element.
    @discardableResult
    public func fill(_ value: Double) throws(TorchError) -> Tensor {
        try mutate("fill") { ct_tensor_fill_(handle, value) }
    }

    /// Whether shapes and all elements are equal.
    public func isEqual(to other: Tensor) throws(TorchError) -> Bool {
        var equal = false
        try mutate("isEqual", other) { ct_tensor_equal(handle, other.handle, &equal) }
        return equal
    }
}
