private import CTorch

extension Tensor {
    /// The same elements in another shape; one size may be `-1`.
    ///
    /// A view where the layout allows it.
    public func reshape(_ shape: [Int]) throws(TorchError) -> Tensor {
        try Tensor.make("reshape", self) { ct_reshape(handle, shape, Int32(shape.count), $0) }
    }

    /// The same elements in another shape; one size may be `-1`.
    public func reshape(_ shape: Int...) throws(TorchError) -> Tensor { try reshape(shape) }

    /// A view with dimensions of size 1 repeated; `-1` keeps a size.
    public func expand(_ shape: [Int]) throws(TorchError) -> Tensor {
        try Tensor.make("expand", self) { ct_expand(handle, shape, Int32(shape.count), $0) }
    }

    /// A view with the dimensions in another order.
    public func permute(_ order: Int...) throws(TorchError) -> Tensor {
        try Tensor.make("permute", self) { ct_permute(handle, order, Int32(order.count), $0) }
    }

    /// A view with two dimensions exchanged.
    public func transpose(_ first: Int, _ second: Int) throws(TorchError) -> Tensor {
        try Tensor.make("transpose", self) { ct_transpose(handle, first, second, $0) }
    }

    /// A view with a new dimension of size 1.
    public func unsqueeze(_ dimension: Int) throws(TorchError) -> Tensor {
        try Tensor.make("unsqueeze", self) { ct_unsqueeze(handle, dimension, $0) }
    }

    /// A view without a dimension of size 1.
    public func squeeze(_ dimension: Int) throws(TorchError) -> Tensor {
        try Tensor.make("squeeze", self) { ct_squeeze(handle, dimension, $0) }
    }

    /// The elements of one dimension in reverse order.
    public func flip(_ dimension: Int) throws(TorchError) -> Tensor {
        try Tensor.make("flip", self) { ct_flip(handle, dimension, $0) }
    }

    /// A view of `length` positions of one dimension.
    public func narrow(_ dimension: Int, start: Int, length: Int) throws(TorchError) -> Tensor {
        try Tensor.make("narrow", self) { ct_narrow(handle, dimension, start, length, $0) }
    }

    /// Views of consecutive pieces of one dimension, whose sizes add up to it.
    ///
    /// Unlike as many calls of ``narrow(_:start:length:)``, its gradient is put together in one pass.
    public func split(_ sizes: [Int], dimension: Int) throws(TorchError) -> [Tensor] {
        var handles = [CTTensorRef?](repeating: nil, count: sizes.count)
        let status = ct_split(handle, sizes, Int32(sizes.count), dimension, &handles)
        guard status == CT_OK else { throw Runtime.failure("split", status, operands: [self]) }
        return handles.compactMap { $0.map(Tensor.init(owning:)) }
    }

    /// A view of one position of one dimension, which is dropped.
    public func select(_ dimension: Int, _ index: Int) throws(TorchError) -> Tensor {
        try Tensor.make("select", self) { ct_select(handle, dimension, index, $0) }
    }

    /// Tensors joined along an existing dimension.
    public static func cat(_ tensors: [Tensor], dimension: Int = 0) throws(TorchError) -> Tensor {
        var out: CTTensorRef?
        let status = withHandles(tensors) { ct_cat($0, Int32(tensors.count), dimension, &out) }
        guard status == CT_OK, let out else { throw Runtime.failure("cat", status, operands: tensors) }
        return Tensor(owning: out)
    }

    /// Tensors of one shape joined along a new dimension.
    public static func stack(_ tensors: [Tensor], dimension: Int = 0) throws(TorchError) -> Tensor {
        var out: CTTensorRef?
        let status = withHandles(tensors) { ct_stack($0, Int32(tensors.count), dimension, &out) }
        guard status == CT_OK, let out else { throw Runtime.failure("stack", status, operands: tensors) }
        return Tensor(owning: out)
    }

    /// The positions of one dimension that `index` (`[n]`, int64) names.
    public func indexSelect(_ dimension: Int, _ index: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("indexSelect", self, index) { ct_index_select(handle, dimension, index.handle, $0) }
    }

    /// Rows (positions of the first dimension) of a contiguous tensor on the CPU, in any order, without gradients.
    ///
    /// The calling thread alone copies them: what comes from a mapped file waits for nothing but memory, even while the other
    /// threads have something else to do.
    ///
    /// - Parameter rows: Which, repeated ones too.
    public func copyRows(_ rows: [Int]) throws(TorchError) -> Tensor {
        try Tensor.make("copyRows", self) { ct_copy_rows(handle, rows, rows.count, $0) }
    }

    /// Writes the positions of one dimension that `index` (`[n]`, int64) names into a tensor that is there already.
    ///
    /// - Parameter destination: Of the result's shape, dtype and device, and of other memory than this tensor.
    public func indexSelect(_ dimension: Int, _ index: Tensor, into destination: Tensor) throws(TorchError) {
        try destination.mutate("indexSelect", self, index) {
            ct_index_select_into(handle, dimension, index.handle, destination.handle)
        }
    }

    /// The element that `index` (int64, same rank) names along one dimension, at every position.
    public func gather(_ dimension: Int, _ index: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("gather", self, index) { ct_gather(handle, dimension, index.handle, $0) }
    }

    /// The tensor with the elements of `source` at those places of one dimension that `index` (int64, same rank) names.
    public func scatter(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("scatter", self, index, source) {
            ct_scatter(handle, dimension, index.handle, source.handle, $0)
        }
    }

    /// Overwrites the positions of one dimension that `index` (`[n]`, int64) names with those of `source`.
    @discardableResult
    public func indexCopy(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws(TorchError) -> Tensor {
        try mutate("indexCopy", index, source) { ct_index_copy_(handle, dimension, index.handle, source.handle) }
    }

    /// The tensor with the positions of `source` added at those of one dimension that `index` (`[n]`, int64) names.
    public func indexAdd(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("indexAdd", self, index, source) {
            ct_index_add(handle, dimension, index.handle, source.handle, $0)
        }
    }

    /// Rows (positions of the first dimension) in another order, none of them twice.
    ///
    /// Where ``indexSelect(_:_:)`` would add gradients up row by row, here they go back by the inverse order.
    ///
    /// - Parameters:
    ///   - index: For each row of the result the row it comes from, or a negative number for zeros (int64).
    ///   - inverse: For each row of this tensor the row of the result it goes to, or a negative number (int64).
    public func placeRows(_ index: Tensor, inverse: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("placeRows", self, index, inverse) { ct_place_rows(handle, index.handle, inverse.handle, $0) }
    }

    /// Elements of `a` where the condition holds, of `b` elsewhere.
    public static func choose(_ condition: Tensor, _ a: Tensor, _ b: Tensor) throws(TorchError) -> Tensor {
        try make("choose", condition, a, b) { ct_where(condition.handle, a.handle, b.handle, $0) }
    }

    /// The tensor with one value wherever the mask (bool) holds.
    public func maskedFill(_ mask: Tensor, _ value: Double) throws(TorchError) -> Tensor {
        try Tensor.make("maskedFill", self, mask) { ct_masked_fill(handle, mask.handle, value, $0) }
    }

    /// The values along one dimension in order, and their positions (int64).
    public func sorted(_ dimension: Int = -1, descending: Bool = false) throws(TorchError) -> (
        values: Tensor, indices: Tensor
    ) {
        var values: CTTensorRef?
        var indices: CTTensorRef?
        let status = ct_sort(handle, dimension, descending, &values, &indices)
        guard status == CT_OK, let values, let indices else {
            throw Runtime.failure("sorted", status, operands: [self])
        }
        return (Tensor(owning: values), Tensor(owning: indices))
    }

    /// The `k` largest values along one dimension, largest first, and their positions (int64).
    public func topK(_ k: Int, dimension: Int = -1) throws(TorchError) -> (values: Tensor, indices: Tensor) {
        var values: CTTensorRef?
        var indices: CTTensorRef?
        let status = ct_top_k(handle, k, dimension, &values, &indices)
        guard status == CT_OK, let values, let indices else { throw Runtime.failure("topK", status, operands: [self]) }
        return (Tensor(owning: values), Tensor(owning: indices))
    }
}
