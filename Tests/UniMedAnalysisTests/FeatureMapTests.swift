import Foundation
import Testing
import Torch
import UniMedAnalysis
import UniMedTesting

private let cases = "tsne/cases.json"

private struct Fixture: Decodable {
    struct Case: Decodable {
        struct Final: Decodable {
            let trustworthiness_k5: Double
            let trustworthiness_k12: Double
            let silhouette_embedding: Double
        }

        struct Divergence: Decodable {
            let kl_plain_P: Double
        }

        struct Start: Decodable {
            let plain: Double
        }

        struct Spread: Decodable {
            let kl: [Double]
        }

        let perplexity: Double
        let learning_rate_used: Double
        let n_iter: Int
        let kl_at_init: Start
        let exaggerated_run: [String: Divergence]
        let plain_run: [String: Divergence]
        let plain_momentum_08_run: [String: Divergence]
        let final: Final
        let sensitivity_relative_init_noise_1e_9: Spread
        let silhouette_data: [String: Double]
        let trustworthiness_of_init_k5: Double
    }

    struct Small: Decodable {
        let x: [[Double]]
        let labels: [Int]
        let samples: [Double]
        let score: Double
    }

    let cases: [String: Case]
    let silhouette_small: Small
}

@Suite("Feature maps on reference numbers")
struct FeatureMapGoldenTests {
    @Test(.enabled(if: Golden.has(cases), "there are no reference numbers"), arguments: ["small", "large"])
    func `t-SNE goes the reference's way`(name: String) throws {
        let fixture = try #require(Golden.decode(Fixture.self, from: cases).cases[name])
        let tensors = try Golden.tensors("tsne/\(name).safetensors")
        func tensor(_ name: String) throws -> Tensor { try #require(tensors[name]).to(.float64) }
        let distances = try TSNE.squaredDistances(tensor("x"))
        // One step of float32 where a distance lies between two of its numbers.
        try expectClose(distances, tensor("sq_distances"), tolerance: 2e-5, "\(name) distances")
        let conditional = try TSNE.conditionalProbabilities(tensor("sq_distances"), perplexity: fixture.perplexity)
        try expectClose(conditional, tensor("conditional_p"), tolerance: 1e-13, "\(name) conditional")
        let joint = try TSNE.jointProbabilities(conditional)
        let count = joint.size(0)
        let condensed = try Tensor.cat(
            (0..<(count - 1)).map { row in try joint.select(0, row).narrow(0, start: row + 1, length: count - row - 1) }
        )
        try expectClose(condensed, tensor("joint_p_condensed"), tolerance: 1e-15, "\(name) joint")
        try expectClose(
            TSNE.gradient(tensor("init"), joint),
            tensor("gradient_at_init"),
            tolerance: 1e-15,
            "\(name) gradient"
        )
        #expect(abs(try TSNE.divergence(tensor("init"), joint) - fixture.kl_at_init.plain) < 1e-12)
        #expect(TSNE(learningRate: .fixed(fixture.learning_rate_used)).rate(count) == fixture.learning_rate_used)

        // The exaggerated way is chaotic: after 20 steps the last digit of the start has grown to 1e-6.
        for (run, exaggeration, momentum, steps, divergences, tolerance) in [
            ("exaggerated", 12.0, 0.5, 20, fixture.exaggerated_run, 1e-5),
            ("plain", 1, 0.5, 50, fixture.plain_run, 1e-7),
            ("plain_momentum08", 1, 0.8, 50, fixture.plain_momentum_08_run, 1e-7),
        ] {
            var position = try tensor("init")
            var way = TSNE.Momentum(rate: fixture.learning_rate_used)
            let attraction = try joint * exaggeration
            for step in 1...steps {
                position = try way.step(position, TSNE.gradient(position, attraction), momentum)
                guard let expected = tensors["\(run)_iter\(step)"] else { continue }
                let allowed = step <= 10 ? 1e-8 : tolerance
                try expectClose(position, expected, tolerance: allowed, "\(name) \(run) \(step)")
                let divergence = try #require(divergences["\(step)"]).kl_plain_P
                #expect(abs(try TSNE.divergence(position, joint) - divergence) < 1e-7, "\(name) \(run) \(step)")
            }
        }
    }

    @Test(.enabled(if: Golden.has(cases), "there are no reference numbers"))
    func `a whole run ends as well as the reference's`() throws {
        let fixture = try #require(Golden.decode(Fixture.self, from: cases).cases["small"])
        let tensors = try Golden.tensors("tsne/small.safetensors")
        let points = try #require(tensors["x"])
        var settings = TSNE(perplexity: fixture.perplexity, steps: fixture.n_iter)
        #expect(settings.rate(points.size(0)) == fixture.learning_rate_used, "the automatic learning rate")
        settings.learningRate = .fixed(fixture.learning_rate_used)
        let embedding = try settings.embed(points, from: tensors["init"])
        let spread = fixture.sensitivity_relative_init_noise_1e_9.kl
        let (least, most) = (try #require(spread.min()), try #require(spread.max()))
        #expect((least - 0.03...most + 0.03).contains(embedding.divergence), "\(embedding.divergence)")
        let trust = try Trustworthiness.score(of: embedding.points, for: points)
        #expect(abs(trust - fixture.final.trustworthiness_k5) < 0.02)
    }

    @Test(.enabled(if: Golden.has(cases), "there are no reference numbers"), arguments: ["small", "large"])
    func `silhouettes and trustworthiness are those of the reference`(name: String) throws {
        let fixture = try #require(Golden.decode(Fixture.self, from: cases).cases[name])
        let tensors = try Golden.tensors("tsne/\(name).safetensors")
        let points = try #require(tensors["x"])
        let labels = try #require(tensors["labels"]).array(of: Int.self)
        for distance in Silhouette.Distance.allCases {
            let expected = try #require(fixture.silhouette_data[distance.rawValue])
            let score = try Silhouette.score(points, labels: labels, distance: distance)
            #expect(abs(score - expected) < 1e-9, "\(distance)")
        }
        let samples = try Silhouette.samples(points, labels: labels)
        let expected = try #require(tensors["silhouette_samples_data"]).array(of: Double.self)
        #expect(zip(samples, expected).allSatisfy { abs($0 - $1) < 1e-9 })
        let final = try #require(tensors["final_embedding"])
        #expect(abs(try Silhouette.score(final, labels: labels) - fixture.final.silhouette_embedding) < 1e-9)
        for (neighbours, expected) in [(5, fixture.final.trustworthiness_k5), (12, fixture.final.trustworthiness_k12)] {
            let score = try Trustworthiness.score(of: final, for: points, neighbours: neighbours)
            #expect(abs(score - expected) < 1e-9)
        }
        let start = try Trustworthiness.score(of: #require(tensors["init"]), for: points)
        #expect(abs(start - fixture.trustworthiness_of_init_k5) < 1e-9)
    }

    @Test(.enabled(if: Golden.has(cases), "there are no reference numbers"))
    func `the only point of a kind has silhouette 0`() throws {
        let small = try Golden.decode(Fixture.self, from: cases).silhouette_small
        let points = try Tensor(Array(small.x.joined()), shape: [small.x.count, 2])
        let samples = try Silhouette.samples(points, labels: small.labels)
        #expect(zip(samples, small.samples).allSatisfy { abs($0 - $1) < 1e-12 })
        #expect(abs(try Silhouette.score(points, labels: small.labels) - small.score) < 1e-12)
    }
}

@Suite("Feature maps")
struct FeatureMapTests {
    /// Three groups of points far apart.
    private func groups() throws -> (points: Tensor, labels: [Int]) {
        let generator = try Generator(seed: 3)
        let parts = try [0.0, 8, -8].map { centre in
            try Tensor.normal([20, 6], mean: centre, generator: generator, dtype: .float64)
        }
        return (try Tensor.cat(parts), [0, 1, 2].flatMap { [Int](repeating: $0, count: 20) })
    }

    @Test(arguments: [2, 3])
    func `an embedding keeps groups apart, and follows from its seed`(dimensions: Int) throws {
        let (points, labels) = try groups()
        let settings = TSNE(
            dimensions: dimensions,
            perplexity: 8,
            steps: 300,
            exaggeratedSteps: 100,
            start: .random(seed: 5)
        )
        let embedding = try settings.embed(points)
        #expect(embedding.points.shape == [60, dimensions])
        #expect(try Silhouette.score(embedding.points, labels: labels) > 0.5)
        #expect(try settings.embed(points).points.isEqual(to: embedding.points))
        var other = settings
        other.start = .random(seed: 6)
        #expect(try !other.embed(points).points.isEqual(to: embedding.points))
    }

    @Test func `settings that do not fit are refused by name`() throws {
        let points = try Tensor.zeros([10, 3])
        #expect { try TSNE(perplexity: 10).embed(points) } throws: { ($0 as? AnalysisError)?.field == "perplexity" }
        #expect { try TSNE().embed(Tensor.zeros([2, 3])) } throws: { ($0 as? AnalysisError)?.field == "points" }
        #expect { try Silhouette.score(points, labels: [1]) } throws: { ($0 as? AnalysisError)?.field == "labels" }
    }

    @Test(arguments: [40, 3])
    func `principal components hold the variance there is, in tall and in wide data`(count: Int) throws {
        // One direction has all variance but a little.
        let generator = try Generator(seed: 9)
        let direction = try Tensor([0.6, 0.8, 0, 0, 0], shape: [1, 5])
        let scores = try Tensor.normal([count, 1], deviation: 10, generator: generator, dtype: .float64)
        let noise = try Tensor.normal([count, 5], deviation: 0.01, generator: generator, dtype: .float64)
        let points = try scores.matmul(direction) + noise + 100
        let components = try PrincipalComponents(points, count: 2)
        #expect(components.varianceShares[0] > 0.999 && components.varianceShares[1] < 0.001)
        let found = try components.points.narrow(1, start: 0, length: 1)
        let centred = try scores - scores.mean()
        let product = try (found * centred).sum().item()
        let norms = try (found * found).sum().item() * (centred * centred).sum().item()
        #expect(abs(product) / norms.squareRoot() > 0.999)
        #expect(abs(try found.mean().item()) < 1e-9)
        #expect(throws: TorchError.self) { try PrincipalComponents(points, count: 6) }
    }

    @Test func `the eigenvectors of a symmetric matrix are those of its definition`() throws {
        let matrix = try Tensor([2.0, 1, 1, 2], shape: [2, 2])
        let (values, vectors) = try matrix.symmetricEigen()
        try expectClose(values, Tensor([1.0, 3]), tolerance: 1e-12, "values")
        try expectClose(matrix.matmul(vectors), vectors * values, tolerance: 1e-12, "vectors")
    }
}
