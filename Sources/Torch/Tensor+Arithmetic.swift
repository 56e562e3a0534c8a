private import CTorch

extension Tensor {
    /// The sum, with broadcasting.
    public static func + (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make("add", a, b) { ct_add(a.handle, b.handle, $0) }
    }

    /// The difference, with broadcasting.
    public static func - (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make("subtract", a, b) { ct_sub(a.handle, b.handle, $0) }
    }

    /// The product element by element, with broadcasting.
    public static func * (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make("multiply", a, b) { ct_mul(a.handle, b.handle, $0) }
    }

    /// The quotient element by element, with broadcasting.
    public static func / (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make("divide", a, b) { ct_div(a.handle, b.handle, $0) }
    }

    /// The sum with a number.
    public static func + (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make("add", a) { ct_add_scalar(a.handle, b, $0) }
    }

    /// The difference with a number.
    public static func - (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make("subtract", a) { ct_add_scalar(a.handle, -b, $0) }
    }

    /// The product with a number.
    public static func * (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make("multiply", a) { ct_mul_scalar(a.handle, b, $0) }
    }

    /// The quotient by a number.
    public static func / (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make("divide", a) { ct_div_scalar(a.handle, b, $0) }
    }

    /// The opposite of every element.
    public static prefix func - (a: Tensor) throws(TorchError) -> Tensor {
        try make("negate", a) { ct_neg(a.handle, $0) }
    }

    /// Adds `other * scale` in place.
    @discardableResult
    public func add(_ other: Tensor, scale: Double = 1) throws(TorchError) -> Tensor {
        try mutate("add", other) { ct_add_(handle, other.handle, scale) }
    }

    /// Multiplies by a number in place.
    @discardableResult
    public func scale(by factor: Double) throws(TorchError) -> Tensor {
        try mutate("scale") { ct_mul_scalar_(handle, factor) }
    }

    /// The larger of two elements, with broadcasting.
    public func maximum(_ other: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("maximum", self, other) { ct_maximum(handle, other.handle, $0) }
    }

    /// The smaller of two elements, with broadcasting.
    public func minimum(_ other: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("minimum", self, other) { ct_minimum(handle, other.handle, $0) }
    }

    /// Every element raised to a power.
    public func power(_ exponent: Double) throws(TorchError) -> Tensor {
        try Tensor.make("power", self) { ct_pow_scalar(handle, exponent, $0) }
    }

    /// Every element limited to a range.
    public func clamp(_ minimum: Double, _ maximum: Double) throws(TorchError) -> Tensor {
        try Tensor.make("clamp", self) { ct_clamp(handle, minimum, maximum, $0) }
    }

    /// The absolute value of every element.
    public func abs() throws(TorchError) -> Tensor { try Tensor.make("abs", self) { ct_abs(handle, $0) } }
    /// The exponential of every element.
    public func exp() throws(TorchError) -> Tensor { try Tensor.make("exp", self) { ct_exp(handle, $0) } }
    /// The natural logarithm of every element.
    public func log() throws(TorchError) -> Tensor { try Tensor.make("log", self) { ct_log(handle, $0) } }
    /// The square root of every element.
    public func sqrt() throws(TorchError) -> Tensor { try Tensor.make("sqrt", self) { ct_sqrt(handle, $0) } }
    /// The sine of every element, in radians.
    public func sin() throws(TorchError) -> Tensor { try Tensor.make("sin", self) { ct_sin(handle, $0) } }
    /// The cosine of every element, in radians.
    public func cos() throws(TorchError) -> Tensor { try Tensor.make("cos", self) { ct_cos(handle, $0) } }
    /// The hyperbolic tangent of every element.
    public func tanh() throws(TorchError) -> Tensor { try Tensor.make("tanh", self) { ct_tanh(handle, $0) } }
    /// Whether each element is neither infinite nor not a number (bool).
    public func isFinite() throws(TorchError) -> Tensor {
        try Tensor.make("isFinite", self) { ct_is_finite(handle, $0) }
    }

    /// How two elements are compared.
    public enum Relation: Int32, Sendable {
        case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
    }

    /// Whether a relation holds between elements (bool), with broadcasting.
    public func compare(_ relation: Relation, _ other: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("compare", self, other) { ct_compare(handle, other.handle, relation.rawValue, $0) }
    }

    /// Whether a relation holds between each element and a number (bool).
    public func compare(_ relation: Relation, _ value: Double) throws(TorchError) -> Tensor {
        try Tensor.make("compare", self) { ct_compare_scalar(handle, value, relation.rawValue, $0) }
    }

    /// Whether both conditions hold (bool), with broadcasting.
    public func and(_ other: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("and", self, other) { ct_logical_and(handle, other.handle, $0) }
    }

    /// Whether the condition does not hold (bool).
    public func not() throws(TorchError) -> Tensor { try Tensor.make("not", self) { ct_logical_not(handle, $0) } }

    // MARK: Reduction

    /// The sum over dimensions, over all when none are named.
    public func sum(_ dimensions: Int..., keepingDimensions keep: Bool = false) throws(TorchError) -> Tensor {
        try Tensor.make("sum", self) { ct_sum(handle, dimensions, Int32(dimensions.count), keep, $0) }
    }

    /// The mean over dimensions, over all when none are named.
    public func mean(_ dimensions: Int..., keepingDimensions keep: Bool = false) throws(TorchError) -> Tensor {
        try Tensor.make("mean", self) { ct_mean(handle, dimensions, Int32(dimensions.count), keep, $0) }
    }

    /// The largest element over dimensions, over all when none are named.
    public func maximum(_ dimensions: Int..., keepingDimensions keep: Bool = false) throws(TorchError) -> Tensor {
        try Tensor.make("maximum", self) { ct_amax(handle, dimensions, Int32(dimensions.count), keep, $0) }
    }

    /// The position (int64) of the largest element along one dimension.
    public func argmax(_ dimension: Int = -1) throws(TorchError) -> Tensor {
        try Tensor.make("argmax", self) { ct_argmax(handle, dimension, $0) }
    }

    /// Whether all elements hold (bool, one element).
    public func all() throws(TorchError) -> Tensor { try Tensor.make("all", self) { ct_all(handle, $0) } }

    /// The running sum along one dimension.
    public func cumulativeSum(_ dimension: Int) throws(TorchError) -> Tensor {
        try Tensor.make("cumulativeSum", self) { ct_cumsum(handle, dimension, $0) }
    }

    /// The Euclidean norm of all elements (one element).
    public func norm() throws(TorchError) -> Tensor { try Tensor.make("norm", self) { ct_norm(handle, $0) } }

    // MARK: Products

    /// The sum of the products of two tensors' elements (one float64 element).
    ///
    /// Large tensors are taken in parts of a few million elements: nothing as large as they are is made, and a float32 sum
    /// keeps its precision.
    public func innerProduct(_ other: Tensor) throws(TorchError) -> Tensor {
        let rows = rank == 0 ? 1 : size(0)
        let limit = 1 << 22
        guard count > limit, rows > 1 else { return try (self * other).sum().to(.float64) }
        let length = max(1, limit / (count / rows))
        var total = try Tensor.zeros([], dtype: .float64, device: device)
        for start in stride(from: 0, to: rows, by: length) {
            let size = min(length, rows - start)
            let part = try narrow(0, start: start, length: size) * other.narrow(0, start: start, length: size)
            total = try total + part.sum().to(.float64)
        }
        return total
    }

    /// The matrix product; leading dimensions are a batch, with broadcasting.
    public func matmul(_ other: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("matmul", self, other) { ct_matmul(handle, other.handle, $0) }
    }

    /// The eigenvalues of a symmetric matrix `[n, n]`, ascending, and its eigenvectors, the columns of `[n, n]`.
    ///
    /// Only the lower half is read. The sign of an eigenvector is not determined.
    ///
    /// - Throws: ``TorchError`` when the matrix is not square or not of a floating-point type that LibTorch decomposes.
    public func symmetricEigen() throws(TorchError) -> (values: Tensor, vectors: Tensor) {
        var values: CTTensorRef?
        var vectors: CTTensorRef?
        let status = ct_symmetric_eigen(handle, &values, &vectors)
        guard status == CT_OK, let values, let vectors else {
            throw Runtime.failure("symmetricEigen", status, operands: [self])
        }
        return (Tensor(owning: values), Tensor(owning: vectors))
    }

    /// `beta * addend + alpha * a b` for batches of matrices `[batch, n, k]` and `[batch, k, m]`.
    public static func multiplyAdd(
        _ addend: Tensor,
        _ a: Tensor,
        _ b: Tensor,
        beta: Double = 1,
        alpha: Double = 1
    ) throws(TorchError) -> Tensor {
        try make("multiplyAdd", addend, a, b) { ct_baddbmm(addend.handle, a.handle, b.handle, beta, alpha, $0) }
    }
}
