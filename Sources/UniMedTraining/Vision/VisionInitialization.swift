import Foundation
import Torch
import TorchNN
import UniMedData
import UniMedModel

/// Starts a vision transformer with the structure that large ones learn.
///
/// Patches see the cosine basis, so that their embeddings are uncorrelated and of like variance. Position embeddings are
/// two-dimensional sines. Query and key products begin as the identity with noise, value and output products as its
/// opposite (mimetic initialisation, Trockman and Kolter, 2023).
enum VisionInitialization {
    static func apply(to vision: VisionTransformer, seed: UInt64) throws(TorchError) {
        let configuration = vision.configuration
        let width = configuration.hiddenSize
        var generator = SeededGenerator.derived(from: seed, label: "vision initialization")
        for (name, parameter) in vision.namedParameters() {
            let shape = parameter.value.shape
            var values: [Float]?
            if name == "patch_embed.proj.weight" {
                values = cosinePatches(patch: configuration.patchSize, width: width, &generator)
            } else if name == "pos_embed" {
                values = [Float](repeating: 0, count: width) + sinePositions(grid: configuration.gridSize, width: width)
            } else if name.hasSuffix("fc1.weight") || name.hasSuffix("fc2.weight") {
                let bound = (6 / Double(shape[0] + shape[1])).squareRoot()
                values = (0..<shape[0] * shape[1]).map { _ in Float(generator.uniform(in: -bound..<bound)) }
            } else if name.hasSuffix("bias") {
                values = [Float](repeating: 0, count: shape.reduce(1, *))
            }
            if let values { try parameter.load(Tensor(values, shape: shape)) }
        }
        let parameters = Dictionary(vision.namedParameters().map { ($0.name, $0.parameter) }) { first, _ in first }
        for block in 0..<configuration.layerCount {
            guard let fused = parameters["blocks.\(block).attn.qkv.weight"],
                let output = parameters["blocks.\(block).attn.proj.weight"]
            else { continue }
            let (qkv, projection) = mimetic(width: width, headCount: configuration.headCount, &generator)
            try fused.load(Tensor(qkv, shape: [3 * width, width]))
            try output.load(Tensor(projection, shape: [width, width]))
        }
    }

    /// Patch weights `[width, 3, patch, patch]`: grey cosines first, then two opponent colours, then noise.
    ///
    /// Basis functions are ordered by frequency; those of high frequency have a larger gain, which flattens the spectrum
    /// of natural pictures.
    private static func cosinePatches(patch: Int, width: Int, _ generator: inout SeededGenerator) -> [Float] {
        let size = Double(patch)
        var basis: [[Double]] = []
        for u in 0..<patch {
            let length: Double = (u == 0 ? 1 / size : 2 / size).squareRoot()
            let frequency = Double.pi * Double(u) / size
            basis.append((0..<patch).map { x in cos(frequency * (Double(x) + 0.5)) * length })
        }
        struct Frequency {
            let u: Int
            let v: Int
            var square: Int { u * u + v * v }
        }
        let all = (0..<patch * patch).map { Frequency(u: $0 / patch, v: $0 % patch) }
        let order = all.sorted { a, b in
            a.square != b.square ? a.square < b.square : (a.u, a.v) < (b.u, b.v)
        }
        let colors: [(axis: [Double], count: Int, gain: Double)] = [
            ([1.0 / 3, 1.0 / 3, 1.0 / 3], patch * patch, 4), ([0.5, 0, -0.5], 16, 12), ([-0.25, 0.5, -0.25], 16, 12),
        ]
        var rows: [[Float]] = []
        for color in colors {
            for frequency in order.prefix(color.count) {
                let factor = (0.3 + Double(frequency.square).squareRoot()) / size * color.gain
                let (vertical, horizontal) = (basis[frequency.u], basis[frequency.v])
                var row: [Float] = []
                row.reserveCapacity(3 * patch * patch)
                for axis in color.axis {
                    for y in 0..<patch {
                        let scale = axis * vertical[y] * factor
                        for x in 0..<patch { row.append(Float(scale * horizontal[x])) }
                    }
                }
                rows.append(row)
            }
        }
        rows = Array(rows.prefix(width))
        while rows.count < width {
            rows.append((0..<3 * patch * patch).map { _ in Float(generator.normal(standardDeviation: 0.02)) })
        }
        return rows.flatMap { $0 }
    }

    /// `[grid², width]`: sines and cosines of column and row, times 0.3.
    private static func sinePositions(grid: Int, width: Int) -> [Float] {
        let quarter = width / 4
        var values: [Float] = []
        values.reserveCapacity(grid * grid * width)
        for y in 0..<grid {
            for x in 0..<grid {
                var row: [Double] = []
                for place in [Double(x), Double(y)] {
                    let angles = (0..<quarter).map { place / pow(10_000, Double($0) / Double(quarter)) }
                    row += angles.map { sin($0) } + angles.map { cos($0) }
                }
                row += [Double](repeating: 0, count: width - row.count)
                values += row.map { Float(0.3 * $0) }
            }
        }
        return values
    }

    // MARK: Mimetic attention

    /// `[3 · width, width]` of queries, keys and values, and `[width, width]` of the output.
    private static func mimetic(
        width: Int,
        headCount: Int,
        _ generator: inout SeededGenerator
    ) -> (qkv: [Float], projection: [Float]) {
        let head = width / headCount
        var qkv = [Float](repeating: 0, count: 3 * width * width)
        func noisyIdentity(_ noise: Double, _ identity: Double) -> [Double] {
            let scale = noise / Double(width).squareRoot()
            var matrix = (0..<width * width).map { _ in generator.normal() * scale }
            for index in 0..<width { matrix[index * width + index] += identity }
            return matrix
        }
        for index in 0..<headCount {
            // The largest singular directions of 0.7 Z + 0.7 I, split evenly between queries and keys.
            let parts = SingularValues(of: noisyIdentity(0.7, 0.7), size: width)
            for row in 0..<head {
                let root = parts.values[row].squareRoot()
                for column in 0..<width {
                    qkv[(index * head + row) * width + column] = Float(parts.left[row * width + column] * root)
                    qkv[(width + index * head + row) * width + column] = Float(parts.right[row * width + column] * root)
                }
            }
        }
        let parts = SingularValues(of: noisyIdentity(0.4, -0.4), size: width)
        var projection = [Float](repeating: 0, count: width * width)
        for index in 0..<width {
            let root = parts.values[index].squareRoot()
            for column in 0..<width {
                qkv[(2 * width + index) * width + column] = Float(parts.right[index * width + column] * root)
                projection[column * width + index] = Float(parts.left[index * width + column] * root)
            }
        }
        return (qkv, projection)
    }
}

/// The singular values of a square matrix and its directions, by one-sided Jacobi rotations.
package struct SingularValues {
    /// In descending order.
    package let values: [Double]
    /// The left directions, one a row.
    package let left: [Double]
    /// The right directions, one a row.
    package let right: [Double]

    private static let sweeps = 12

    /// Decomposes `matrix`, `[size, size]` in row-major order, into `Σ value · leftᵀ right`.
    package init(of matrix: [Double], size: Int) {
        // Row j of `columns` is column j of the matrix; rotations make the columns orthogonal.
        var columns = [Double](repeating: 0, count: size * size)
        var directions = [Double](repeating: 0, count: size * size)
        for row in 0..<size {
            for column in 0..<size { columns[column * size + row] = matrix[row * size + column] }
            directions[row * size + row] = 1
        }
        columns.withUnsafeMutableBufferPointer { a in
            directions.withUnsafeMutableBufferPointer { v in
                for _ in 0..<SingularValues.sweeps where !SingularValues.sweep(a, v, size) { break }
            }
        }
        let lengths = (0..<size).map { row in
            (0..<size).reduce(0.0) { $0 + columns[row * size + $1] * columns[row * size + $1] }.squareRoot()
        }
        let order = (0..<size).sorted { lengths[$0] > lengths[$1] }
        values = order.map { lengths[$0] }
        left = order.flatMap { row in
            columns[row * size..<(row + 1) * size].map { lengths[row] > 0 ? $0 / lengths[row] : 0 }
        }
        right = order.flatMap { row in Array(directions[row * size..<(row + 1) * size]) }
    }

    /// Rotates every pair of columns once.
    ///
    /// - Returns: Whether any pair was not orthogonal yet.
    private static func sweep(
        _ a: UnsafeMutableBufferPointer<Double>,
        _ v: UnsafeMutableBufferPointer<Double>,
        _ size: Int
    ) -> Bool {
        var rotated = false
        for p in 0..<size - 1 {
            for q in p + 1..<size {
                var (pp, qq, pq) = (0.0, 0.0, 0.0)
                for index in 0..<size {
                    let (x, y) = (a[p * size + index], a[q * size + index])
                    pp += x * x
                    qq += y * y
                    pq += x * y
                }
                guard abs(pq) > 1e-9 * (pp * qq).squareRoot() else { continue }
                rotated = true
                let zeta = (qq - pp) / (2 * pq)
                let t = (zeta >= 0 ? 1.0 : -1.0) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
                let c = 1 / (1 + t * t).squareRoot()
                let s = c * t
                for index in 0..<size {
                    let (x, y) = (a[p * size + index], a[q * size + index])
                    a[p * size + index] = c * x - s * y
                    a[q * size + index] = s * x + c * y
                    let (m, n) = (v[p * size + index], v[q * size + index])
                    v[p * size + index] = c * m - s * n
                    v[q * size + index] = s * m + c * n
                }
            }
        }
        return rotated
    }
}
