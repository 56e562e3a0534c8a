import Foundation
import Testing
import Torch

@Suite("Tensor operations")
struct OperationTests {
    private let a: Tensor
    private let b: Tensor

    init() throws {
        a = try Tensor([1, -2, 3, -4, 5, -6] as [Float], shape: [2, 3])
        b = try Tensor([2, 4, 8] as [Float])
    }

    @Test func `arithmetic broadcasts`() throws {
        #expect(try close(a + b, [3, 2, 11, -2, 9, 2]))
        #expect(try close(a - b, [-1, -6, -5, -6, 1, -14]))
        #expect(try close(a * b, [2, -8, 24, -8, 20, -48]))
        #expect(try close(a / b, [0.5, -0.5, 0.375, -2, 1.25, -0.75]))
        #expect(try close(a + 1, [2, -1, 4, -3, 6, -5]))
        #expect(try close(a - 1, [0, -3, 2, -5, 4, -7]))
        #expect(try close(a * 2, [2, -4, 6, -8, 10, -12]))
        #expect(try close(a / 2, [0.5, -1, 1.5, -2, 2.5, -3]))
        #expect(try close(-a, [-1, 2, -3, 4, -5, 6]))
        #expect(try close(a.maximum(b), [2, 4, 8, 2, 5, 8]))
        #expect(try close(a.minimum(b), [1, -2, 3, -4, 4, -6]))
        #expect(try close(a.clamp(-2, 3), [1, -2, 3, -2, 3, -2]))
        #expect(try close(a.power(2), [1, 4, 9, 16, 25, 36]))
    }

    @Test func `whole numbers stay whole`() throws {
        let whole = try Tensor([5, 7] as [Int])
        #expect(try (whole * 2 + 1).array(of: Int.self) == [11, 15])
    }

    @Test func `changes in place change the tensor itself`() throws {
        let tensor = try Tensor([1, 2] as [Float])
        try tensor.add(Tensor([10, 20] as [Float]), scale: 0.5).scale(by: 2)
        #expect(try tensor.array(of: Float.self) == [12, 24])
    }

    @Test func `functions of one number are Foundation's`() throws {
        let values: [Float] = [0.1, 0.7, 1.3, 2.9]
        let x = try Tensor(values)
        #expect(try close(x.exp(), values.map { exp($0) }))
        #expect(try close(x.log(), values.map { log($0) }))
        #expect(try close(x.sqrt(), values.map { $0.squareRoot() }))
        #expect(try close(x.sin(), values.map { sin($0) }))
        #expect(try close(x.cos(), values.map { cos($0) }))
        #expect(try close(x.tanh(), values.map { tanh($0) }))
        #expect(try close((-x).abs(), values))
        #expect(try close(x.sigmoid(), values.map { 1 / (1 + exp(-$0)) }))
        #expect(try close(x.silu(), values.map { $0 / (1 + exp(-$0)) }))
        #expect(try close(a.relu(), [1, 0, 3, 0, 5, 0]))
        #expect(try close(x.gelu(), values.map { $0 * 0.5 * (1 + erff($0 / Float(2).squareRoot())) }))
        let root = (2 / Float.pi).squareRoot()
        #expect(
            try close(
                x.gelu(tanhApproximation: true),
                values.map { $0 * 0.5 * (1 + tanh(root * ($0 + 0.044715 * $0 * $0 * $0))) }
            )
        )
    }

    @Test func `comparisons give truth values`() throws {
        let x = try Tensor([1, 2, 3] as [Float])
        let y = try Tensor([2, 2, 2] as [Float])
        #expect(try x.compare(.equal, y).array(of: Bool.self) == [false, true, false])
        #expect(try x.compare(.notEqual, y).array(of: Bool.self) == [true, false, true])
        #expect(try x.compare(.less, y).array(of: Bool.self) == [true, false, false])
        #expect(try x.compare(.lessOrEqual, 2).array(of: Bool.self) == [true, true, false])
        #expect(try x.compare(.greater, 2).array(of: Bool.self) == [false, false, true])
        #expect(try x.compare(.greaterOrEqual, y).array(of: Bool.self) == [false, true, true])
        let (more, less) = (try x.compare(.greater, 1), try x.compare(.less, 3))
        #expect(try more.and(less).array(of: Bool.self) == [false, true, false])
        #expect(try more.not().array(of: Bool.self) == [true, false, false])
        #expect(try !more.all().array(of: Bool.self)[0])
        #expect(try Tensor([1, .infinity, .nan] as [Float]).isFinite().array(of: Bool.self) == [true, false, false])
        #expect(try close(Tensor.choose(more, x, -x), [-1, 2, 3]))
        #expect(try close(x.maskedFill(more, 0), [1, 0, 0]))
    }

    @Test func `reductions are over the named dimensions`() throws {
        #expect(try a.sum().item() == -3)
        #expect(try close(a.sum(0), [-3, 3, -3]))
        #expect(try a.sum(1, keepingDimensions: true).shape == [2, 1])
        #expect(try close(a.mean(1), [2 / 3, -5 / 3]))
        #expect(try close(a.maximum(1), [3, 5]))
        #expect(try a.argmax(1).array(of: Int.self) == [2, 1])
        #expect(try close(a.cumulativeSum(1), [1, -1, 2, -4, 1, -5]))
        #expect(try close(a.norm().reshape(1), [Float(91).squareRoot()]))
    }

    @Test func `shapes are rearranged without losing an element`() throws {
        #expect(try a.reshape(3, -1).shape == [3, 2])
        #expect(try a.permute(1, 0).array(of: Float.self) == [1, -4, -2, 5, 3, -6])
        #expect(try a.unsqueeze(1).shape == [2, 1, 3])
        #expect(try a.unsqueeze(1).squeeze(1).shape == [2, 3])
        #expect(try a.flip(1).array(of: Float.self) == [3, -2, 1, -6, 5, -4])
        #expect(try b.unsqueeze(0).expand([2, -1]).array(of: Float.self) == [2, 4, 8, 2, 4, 8])
        #expect(try Tensor.cat([a, a], dimension: 1).shape == [2, 6])
        #expect(try Tensor.stack([b, b]).shape == [2, 3])
    }

    @Test func `indexing picks what the index names`() throws {
        let index = try Tensor([2, 0] as [Int])
        #expect(try a.indexSelect(1, index).array(of: Float.self) == [3, 1, -6, -4])
        #expect(try a.select(0, 1).array(of: Float.self) == [-4, 5, -6])
        #expect(try a.gather(1, Tensor([1, 2] as [Int], shape: [2, 1])).array(of: Float.self) == [-2, -6])
        #expect(try a.transpose(0, 1).contiguous().embedding(index).array(of: Float.self) == [3, -6, 1, -4])
        let target = try Tensor.zeros([3])
        try target.indexCopy(0, index, Tensor([7, 8] as [Float]))
        #expect(try target.array(of: Float.self) == [8, 0, 7])
        let twice = try Tensor([1, 1] as [Int])
        #expect(try target.indexAdd(0, twice, Tensor([1, 2] as [Float])).array(of: Float.self) == [8, 3, 7])
        let (values, indices) = try b.topK(2)
        #expect(try values.array(of: Float.self) == [8, 4])
        #expect(try indices.array(of: Int.self) == [2, 1])
    }

    @Test func `products are sums of products`() throws {
        let (x, y) = (try random([2, 3, 4], seed: 1), try random([2, 4, 5], seed: 2))
        let (xs, ys) = (try x.array(of: Float.self), try y.array(of: Float.self))
        var product: [Float] = []
        for batch in 0..<2 {
            for row in 0..<3 {
                for column in 0..<5 {
                    product.append(
                        (0..<4).reduce(0) { $0 + xs[batch * 12 + row * 4 + $1] * ys[batch * 20 + $1 * 5 + column] }
                    )
                }
            }
        }
        #expect(try close(x.matmul(y), product, within: 1e-5))
        let addend = try Tensor.ones([2, 3, 5])
        #expect(
            try close(
                Tensor.multiplyAdd(addend, x, y, beta: 3, alpha: 2),
                product.map { 3 + 2 * $0 },
                within: 1e-5
            )
        )
        let weight = try y.select(0, 0).transpose(0, 1).contiguous()
        let bias = try Tensor([1, 2, 3, 4, 5] as [Float])
        let expected = product.prefix(15).enumerated().map { $1 + Float($0 % 5 + 1) }
        #expect(try close(x.select(0, 0).linear(weight, bias: bias), Array(expected), within: 1e-5))
    }

    @Test func `a convolution of patches is a product per patch`() throws {
        let image = try Tensor((0..<16).map { Float($0) }, shape: [1, 1, 4, 4])
        let weight = try Tensor([1, 2, 3, 4] as [Float], shape: [1, 1, 2, 2])
        let result = try image.convolution(weight, bias: Tensor([0.5] as [Float]), stride: 2)
        #expect(result.shape == [1, 1, 2, 2])
        // 1·0 + 2·1 + 3·4 + 4·5 = 34, and each step to the right adds 2, each row below 8, to every pixel.
        #expect(try close(result, [34.5, 54.5, 114.5, 134.5]))
    }

    @Test func `norms follow their formulas`() throws {
        let row: [Float] = [1, -2, 3]
        let x = try Tensor(row)
        let (weight, bias) = (try Tensor([1, 2, 3] as [Float]), try Tensor([0.5, 0, -0.5] as [Float]))
        let mean = row.reduce(0, +) / 3
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 3
        let scale = 1 / (variance + 0.1).squareRoot()
        #expect(
            try close(
                x.layerNorm(weight: weight, bias: bias, epsilon: 0.1),
                [(row[0] - mean) * scale + 0.5, 2 * (row[1] - mean) * scale, 3 * (row[2] - mean) * scale - 0.5]
            )
        )
        let root = 1 / (row.reduce(0) { $0 + $1 * $1 } / 3 + 0.1).squareRoot()
        #expect(
            try close(x.rmsNorm(weight: weight, epsilon: 0.1), [row[0] * root, 2 * row[1] * root, 3 * row[2] * root])
        )
    }

    @Test func `softmax rows sum to one and their logarithms agree`() throws {
        let x = try random([3, 5], seed: 3)
        let softmax = try x.softmax()
        #expect(try close(softmax.sum(1), [1, 1, 1]))
        #expect(try close(x.logSoftmax(), softmax.log().array(of: Float.self), within: 1e-5))
        let row = try x.select(0, 0).array(of: Float.self)
        let total = row.reduce(0) { $0 + exp($1) }
        #expect(try close(softmax.select(0, 0), row.map { exp($0) / total }))
    }

    @Test func `cross entropy ignores what is no target`() throws {
        let logits = try Tensor([1, 2, 3, 0, 0, 0, 3, 2, 1] as [Float], shape: [3, 3])
        let targets = try Tensor([2, -100, 2] as [Int])
        let total: Float = exp(1) + exp(2) + exp(3)
        let losses: [Float] = [log(total) - 3, 0, log(total) - 1]
        #expect(try close(logits.crossEntropy(targets, reduction: .none), losses))
        #expect(try close(logits.crossEntropy(targets, reduction: .sum).reshape(1), [losses[0] + losses[2]]))
        #expect(try close(logits.crossEntropy(targets).reshape(1), [(losses[0] + losses[2]) / 2]))
        // A tenth of the probability spread over 3 classes: 0.9 of the loss and 0.1 of the mean loss of all classes.
        let mean = log(total) - 2
        #expect(
            try close(
                logits.crossEntropy(targets, reduction: .none, labelSmoothing: 0.1),
                [0.9 * losses[0] + 0.1 * mean, 0, 0.9 * losses[2] + 0.1 * mean]
            )
        )
    }

    @Test func `binary cross entropy weighs elements and positives`() throws {
        let logits = try Tensor([0.5, -1] as [Float])
        let targets = try Tensor([1, 0] as [Float])
        let losses: [Float] = [log(1 + exp(-0.5)), log(1 + exp(-1))]
        #expect(try close(logits.binaryCrossEntropy(targets, reduction: .none), losses))
        #expect(
            try close(
                logits.binaryCrossEntropy(
                    targets,
                    weight: Tensor([2, 3] as [Float]),
                    positiveWeight: Tensor([5, 5] as [Float]),
                    reduction: .none
                ),
                [10 * losses[0], 3 * losses[1]]
            )
        )
    }

    @Test func `fused attention is the textbook's`() throws {
        let (q, k, v) = (
            try random([1, 1, 3, 4], seed: 4), try random([1, 1, 3, 4], seed: 5), try random([1, 1, 3, 4], seed: 6)
        )
        let (query, key, value) = try (q.array(of: Float.self), k.array(of: Float.self), v.array(of: Float.self))
        for causal in [false, true] {
            var expected: [Float] = []
            for row in 0..<3 {
                let seen = causal ? row + 1 : 3
                let scores = (0..<seen).map { other in
                    exp(0.5 * (0..<4).reduce(Float(0)) { $0 + query[row * 4 + $1] * key[other * 4 + $1] })
                }
                let total = scores.reduce(0, +)
                for column in 0..<4 {
                    expected.append((0..<seen).reduce(0) { $0 + scores[$1] / total * value[$1 * 4 + column] })
                }
            }
            #expect(try close(q.attention(key: k, value: v, causal: causal, scale: 0.5), expected, within: 1e-5))
            let mask = try Tensor(
                causal ? [true, false, false, true, true, false, true, true, true] : [Bool](repeating: true, count: 9),
                shape: [3, 3]
            )
            #expect(try close(q.attention(key: k, value: v, mask: mask, scale: 0.5), expected, within: 1e-5))
        }
    }

    @Test func `bicubic interpolation keeps constants and sizes`() throws {
        let flat = try Tensor.full([1, 2, 3, 3], 0.25)
        let resized = try flat.bicubic(height: 5, width: 7)
        #expect(resized.shape == [1, 2, 5, 7])
        #expect(try close(resized, [Float](repeating: 0.25, count: 70)))
    }

    @Test func `an identity grid reads a picture as it is`() throws {
        let picture = try random([1, 1, 3, 4], seed: 7)
        let identity = try Tensor([1, 0, 0, 0, 1, 0] as [Float], shape: [1, 2, 3])
        let grid = try identity.affineGrid(batch: 1, channels: 1, height: 3, width: 4)
        #expect(grid.shape == [1, 3, 4, 2])
        #expect(try close(picture.gridSample(grid), picture.array(of: Float.self), within: 1e-5))
    }

    @Test func `dropout zeroes a share and scales the rest`() throws {
        let dropped = try Tensor.ones([10_000]).dropout(0.25).array(of: Float.self)
        #expect(Set(dropped) == [0, 1 / 0.75])
        // Five standard deviations of a binomial count.
        let zeros = dropped.count { $0 == 0 }
        #expect(abs(zeros - 2500) < 220)
        let tensor = try Tensor.ones([3])
        #expect(try tensor.dropout(0) === tensor)
    }

    struct Refusal: Sendable, CustomStringConvertible {
        let description: String
        let operation: @Sendable (Tensor) throws -> Tensor

        init(_ description: String, _ operation: @escaping @Sendable (Tensor) throws -> Tensor) {
            self.description = description
            self.operation = operation
        }
    }

    static let refusals = [
        Refusal("matmul(float32[2, 3], float32[2, 3])") { try $0.matmul($0) },
        Refusal("add(float32[2, 3], float32[2])") { try $0 + Tensor.ones([2]) },
        Refusal("reshape(float32[2, 3])") { try $0.reshape(4) },
        Refusal("cat(float32[2, 3], float32[3])") { try Tensor.cat([$0, Tensor.ones([3])]) },
        Refusal("cat: ") { _ in try Tensor.cat([]) },
        Refusal("linear(float32[2, 3], float32[2, 2])") { try $0.linear(Tensor.ones([2, 2])) },
        Refusal("indexSelect(float32[2, 3], int64[1])") { try $0.indexSelect(0, Tensor([9] as [Int])) },
        Refusal("narrow(float32[2, 3])") { try $0.narrow(0, start: 1, length: 2) },
        Refusal("layerNorm(float32[2, 3], float32[2])") {
            try $0.layerNorm(weight: Tensor.ones([2]), bias: nil, epsilon: 1e-5)
        },
        Refusal("embedding(float32[2, 3], int64[1])") { try $0.embedding(Tensor([2] as [Int])) },
        Refusal("crossEntropy(float32[2, 3], int64[2])") { try $0.crossEntropy(Tensor([0, 3] as [Int])) },
    ]

    @Test(arguments: refusals)
    func `what does not fit is refused with operation and shapes`(refusal: Refusal) throws {
        let tensor = try Tensor.ones([2, 3])
        let error = try #require(throws: TorchError.self) { try refusal.operation(tensor) }
        #expect(error.description.hasPrefix(refusal.description), "\(error)")
        #expect(error.kind == .invalidOperation)
        #expect(!error.message.isEmpty && !error.description.contains("\n"))
        #expect(error.shortDescription == "tensor operation: invalidOperation")
    }

    @Test func `scatter sets the named places`() throws {
        let values = try Tensor([7, 8] as [Float], shape: [2, 1]).requireGradient()
        let result = try a.scatter(1, Tensor([2, 0], shape: [2, 1]), values)
        #expect(try close(result, [1, -2, 7, 8, 5, -6]))
        try (result * b).sum().backward()
        #expect(try close(#require(values.gradient), [8, 2]))
        #expect(throws: TorchError.self) { try a.scatter(1, Tensor([3, 0], shape: [2, 1]), values) }
    }

    @Test(arguments: [[3, 0, 2], [0, 5, 0], [1, 1, 3], [0, 0, 0], [200, 1, 0]])
    func `a grouped linear layer is a linear layer for every group, also in its gradients`(sizes: [Int]) throws {
        let rows = sizes.reduce(0, +)
        let generator = try Generator(seed: 4)
        // The second weight is the view of weights stacked by columns.
        let first = try Tensor.normal([3, 4, 6], generator: generator).requireGradient()
        let stacked = try Tensor.normal([5, 3 * 4], generator: generator).requireGradient()
        let biases = try [4, 5].map { try Tensor.normal([3, $0], generator: generator).requireGradient() }
        let x = try Tensor.normal([rows, 6], generator: generator).requireGradient()
        let second = try stacked.reshape(5, 3, 4).permute(1, 0, 2)
        let result = try x.groupedLinear(first, bias: biases[0], sizes: sizes).sin()
            .groupedLinear(second, bias: biases[1], sizes: sizes)
        #expect(result.shape == [rows, 5])
        let leaves = [x, first, stacked] + biases
        let direction = try Tensor.normal([rows, 5], generator: generator)
        let gradients = try Tensor.gradients(of: [(result * direction).sum()], withRespectTo: leaves)

        var parts: [Tensor] = []
        var start = 0
        for (group, size) in sizes.enumerated() {
            let hidden = try x.narrow(0, start: start, length: size)
                .linear(first.select(0, group), bias: biases[0].select(0, group)).sin()
            parts.append(try hidden.linear(second.select(0, group), bias: biases[1].select(0, group)))
            start += size
        }
        let expected = try Tensor.cat(parts)
        let references = try Tensor.gradients(of: [(expected * direction).sum()], withRespectTo: leaves)
        func worst(_ a: Tensor, _ b: Tensor) throws -> Double {
            a.count == 0 ? 0 : try (a - b).abs().maximum().item()
        }
        // float32 sums of a few numbers of size 1, and of 200 for the weights' gradients.
        #expect(try worst(result, expected) < 1e-5)
        for (gradient, reference) in zip(gradients, references) {
            #expect(try worst(#require(gradient), #require(reference)) < 1e-4)
        }
    }

    @Test func `a grouped linear layer refuses groups that do not fit`() throws {
        let (x, weight, bias) = (try Tensor.ones([4, 3]), try Tensor.ones([2, 5, 3]), try Tensor.ones([2, 5]))
        for sizes in [[1, 2], [5, -1], [4], [1, 1, 2]] {
            #expect(throws: TorchError.self) { try x.groupedLinear(weight, bias: bias, sizes: sizes) }
        }
        #expect(throws: TorchError.self) { try Tensor.ones([4, 2]).groupedLinear(weight, bias: bias, sizes: [2, 2]) }
        #expect(throws: TorchError.self) {
            try x.groupedLinear(weight, bias: Tensor.ones([2, 4]), sizes: [2, 2])
        }
    }
}
