public import Torch

/// How well points of a kind lie together.
public enum Silhouette {
    /// How far apart two points are.
    public enum Distance: String, Codable, Sendable, CaseIterable {
        case euclidean
        /// One minus the cosine of the angle between them.
        case cosine
        /// The sum of the coordinates' differences.
        case manhattan
    }

    /// The silhouette of each point (Rousseeuw 1987): `(b - a) / max(a, b)`, where `a` is the mean distance to the
    /// points of its own kind and `b` that to the nearest other kind; 0 for the only point of a kind.
    ///
    /// - Parameters:
    ///   - points: `[n, width]`.
    ///   - labels: The kind of each point, at least two kinds.
    /// - Returns: Between -1 and 1.
    /// - Throws: ``AnalysisError`` of kind `request` when the labels do not fit.
    public static func samples(
        _ points: Tensor,
        labels: [Int],
        distance: Distance = .euclidean
    ) throws(AnalysisError) -> [Double] {
        let kinds = Set(labels).sorted()
        guard points.rank == 2, labels.count == points.size(0), kinds.count > 1 else {
            throw AnalysisError(
                .request,
                "expected a label for each of the points \(points.summary), of two kinds or more, got \(labels.count) "
                    + "of \(kinds.count)",
                field: "labels"
            )
        }
        // The sum of each point's distances to every kind: [n, kinds].
        let position = Dictionary(uniqueKeysWithValues: kinds.enumerated().map { ($1, $0) })
        let sums = try analysing {
            var members = [Double](repeating: 0, count: labels.count * kinds.count)
            for (index, label) in labels.enumerated() { members[index * kinds.count + (position[label] ?? 0)] = 1 }
            return try distances(points, distance).matmul(Tensor(members, shape: [labels.count, kinds.count]))
                .array(of: Double.self)
        }
        var sizes = [Double](repeating: 0, count: kinds.count)
        for label in labels { sizes[position[label] ?? 0] += 1 }
        return labels.enumerated().map { index, label in
            let own = position[label] ?? 0
            guard sizes[own] > 1 else { return 0 }
            let row = index * kinds.count
            let inside = sums[row + own] / (sizes[own] - 1)
            let outside = kinds.indices.filter { $0 != own }.map { sums[row + $0] / sizes[$0] }.min() ?? 0
            let larger = max(inside, outside)
            return larger > 0 ? (outside - inside) / larger : 0
        }
    }

    /// The mean silhouette of all points.
    public static func score(
        _ points: Tensor,
        labels: [Int],
        distance: Distance = .euclidean
    ) throws(AnalysisError) -> Double {
        let samples = try samples(points, labels: labels, distance: distance)
        return samples.reduce(0, +) / Double(samples.count)
    }

    private static func distances(_ points: Tensor, _ distance: Distance) throws(TorchError) -> Tensor {
        switch distance {
        case .euclidean: return try TSNE.squaredDistances(exactly: points).sqrt()
        case .cosine:
            let x = try points.detach().to(.cpu).to(.float64)
            let norms = try (x * x).sum(1, keepingDimensions: true).sqrt().clamp(.leastNormalMagnitude, .infinity)
            let unit = try x / norms
            let cosines = try unit.matmul(unit.transpose(0, 1))
            return try (cosines * -1 + 1).clamp(0, 2) * TSNE.offDiagonal(x.size(0))
        case .manhattan:
            let x = try points.detach().to(.cpu).to(.float64)
            var rows: [Tensor] = []
            for row in 0..<x.size(0) { rows.append(try (x - x.select(0, row)).abs().sum(1)) }
            return try Tensor.stack(rows)
        }
    }
}

/// How well an embedding keeps neighbours.
public enum Trustworthiness {
    /// How many of each point's neighbours in the embedding are neighbours in truth (Venna and Kaski 2001).
    ///
    /// - Parameters:
    ///   - embedding: `[n, dimensions]`.
    ///   - points: `[n, width]`.
    ///   - neighbours: How many are looked at; less than half of the points.
    /// - Returns: Between 0 and 1; 1 where no stranger came near.
    /// - Throws: ``AnalysisError`` of kind `request` when the sizes do not fit.
    public static func score(
        of embedding: Tensor,
        for points: Tensor,
        neighbours: Int = 5
    ) throws(AnalysisError) -> Double {
        let count = points.size(0)
        guard embedding.size(0) == count, neighbours > 0, 2 * neighbours < count else {
            throw AnalysisError(
                .request,
                "expected fewer than half of \(count) points, got \(neighbours) of \(embedding.size(0))",
                field: "neighbours"
            )
        }
        return try analysing {
            // The rank of each point by its distance from every other, the point itself first.
            let far = try Tensor.ones([count, count], dtype: .float64) - TSNE.offDiagonal(count)
            let order = try (TSNE.squaredDistances(exactly: points) - far).sorted().indices
            let ranks = try order.sorted().indices
            let near = try (TSNE.squaredDistances(exactly: embedding) - far).sorted().indices
                .narrow(1, start: 1, length: neighbours)
            let found = try ranks.gather(1, near.contiguous()).to(.float64)
            let penalty = try (found - Double(neighbours)).clamp(0, .infinity).sum().item()
            let (n, k) = (Double(count), Double(neighbours))
            return 1 - 2 * penalty / (n * k * (2 * n - 3 * k - 1))
        }
    }
}
