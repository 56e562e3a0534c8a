import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting

/// Numbers of a small model, computed by the public libraries (`Fixtures/vision/README.md`).
struct VisionFixture: Sendable, CustomStringConvertible {
    let name: String
    let file: String
    let family: VisionFamily
    /// The file's tensors that are not used: last norm or head, and text model.
    let droppedCount: Int

    static let all = [
        VisionFixture(
            name: "clip_transformers",
            file: "clip_transformers.safetensors",
            family: .clip,
            droppedCount: 25
        ),
        VisionFixture(name: "clip_openclip", file: "clip_openclip.safetensors", family: .clip, droppedCount: 21),
        VisionFixture(
            name: "biomedclip_openclip",
            file: "biomedclip_openclip.bin",
            family: .biomedCLIP,
            droppedCount: 4
        ),
    ]

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/vision")

    var description: String { name }

    func configuration(imageSize: Int = 16, layerCount: Int = 3) -> VisionConfiguration {
        VisionConfiguration(
            family: family,
            imageSize: imageSize,
            patchSize: 4,
            hiddenSize: 12,
            layerCount: layerCount,
            headCount: 2
        )
    }

    func weights() throws -> any WeightSource { try Checkpoint.open(Self.folder.appending(path: file)) }

    func expected() throws -> [String: Tensor] {
        try SafetensorsFile(contentsOf: Self.folder.appending(path: "\(name).expected.safetensors")).tensors()
    }
}

@Suite("Parity: CLIP and BiomedCLIP")
struct VisionFamilyParityTests {
    /// Float32 sums in another order; values reach 7.
    private let tolerance = 4e-5

    @Test(arguments: VisionFixture.all)
    func `activations are the public library's after every block`(fixture: VisionFixture) throws {
        let vision = try VisionTransformer(fixture.configuration())
        let report = try vision.load(fixture.weights())
        #expect(report.missing.isEmpty && report.loadedCount == vision.namedParameters().count)
        #expect(report.dropped.count == fixture.droppedCount, "\(report.dropped)")
        let expected = try fixture.expected()
        let sizes = ["", ".larger"].filter { expected["pixels\($0)"] != nil }
        for suffix in sizes {
            let pixels = try #require(expected["pixels\(suffix)"])
            let sized = try VisionTransformer(fixture.configuration(imageSize: pixels.size(2)))
            try sized.load(fixture.weights())
            try withoutGradients {
                if let first = expected["hidden.0\(suffix)"] {
                    try expectClose(sized.embed(pixels), first, tolerance: tolerance, "embeddings\(suffix)")
                }
                var outputs: [Tensor] = []
                let last = try sized(pixels) { _, output in outputs.append(output) }
                #expect(outputs.count == 3)
                for (index, output) in outputs.enumerated() {
                    let state = try #require(expected["hidden.\(index + 1)\(suffix)"])
                    try expectClose(output, state, tolerance: tolerance, "block \(index)\(suffix)")
                }
                let final = try #require(expected["output\(suffix)"] ?? expected["hidden.3\(suffix)"])
                try expectClose(last, final, tolerance: tolerance, "output\(suffix)")
            }
        }
        if let probe = expected["probe"], let output = expected["probe.block"] {
            _ = try withoutGradients {
                try expectClose(vision.runBlock(0, probe), output, tolerance: tolerance, "probe")
            }
        }
        print("parity \(fixture): \(sizes.count) image sizes within \(tolerance)")
    }

    @Test func `CLIP's penultimate layer is what the last block is not run for`() throws {
        let fixture = VisionFixture.all[0]
        let vision = try VisionTransformer(fixture.configuration(layerCount: 2))
        let report = try vision.load(fixture.weights())
        #expect(report.dropped.count { $0.contains("layers.2.") } == 12)
        let expected = try fixture.expected()
        _ = try withoutGradients {
            try expectClose(
                vision(#require(expected["pixels"])),
                #require(expected["hidden.2"]),
                tolerance: tolerance,
                "penultimate"
            )
        }
    }

    @Test func `the class token is left out of an image's features`() throws {
        let fixture = VisionFixture.all[2]
        var configuration = TinyModel.configuration()
        configuration.vision = fixture.configuration()
        let model = try UniMed(configuration)
        try model.vision.load(fixture.weights())
        let expected = try fixture.expected()
        let features = try model.encodeImages(#require(expected["pixels"]))
        #expect(features.shape == [2, 16, 12])
        let tokens = try #require(expected["output"]).narrow(1, start: 1, length: 16)
        _ = try withoutGradients {
            try expectClose(features, model.visionNorm(tokens), tolerance: tolerance, "features")
        }
    }

    @Test func `a vision model alone and this model's own names are read too`() throws {
        let fixture = VisionFixture.all[0]
        let source = try fixture.weights()
        let vision = try VisionTransformer(fixture.configuration())
        try vision.load(source)
        let alone = try source.keys.filter { $0.hasPrefix("vision_model.") }.map {
            (name: String($0.dropFirst("vision_model.".count)), tensor: try source.tensor(named: $0))
        }
        let own = try vision.namedParameters().map { (name: $0.name, tensor: try $0.parameter.value.detach()) }
        for weights in [alone, own] {
            let other = try VisionTransformer(fixture.configuration())
            try other.load(TensorSource(weights))
            for (first, second) in zip(vision.namedParameters(), other.namedParameters()) {
                #expect(try first.parameter.value.isEqual(to: second.parameter.value), "\(first.name)")
            }
        }
    }

    @Test(arguments: [
        ("vision_model.encoder.layers.1.self_attn.k_proj.weight", "blocks.1.attn.qkv.weight"),
        ("vision_model.pre_layrnorm.bias", "norm_pre.bias"),
        ("vision_model.embeddings.class_embedding", "cls_token"),
    ])
    func `a weight that a file lacks is said`(key: String, parameter: String) throws {
        let fixture = VisionFixture.all[0]
        let source = try fixture.weights()
        let weights = try source.keys.filter { $0 != key }.map { (name: $0, tensor: try source.tensor(named: $0)) }
        let vision = try VisionTransformer(fixture.configuration())
        let error = try #require(throws: CheckpointError.self) { try vision.load(TensorSource(weights)) }
        #expect(error.kind == .mismatch && error.description.contains("1 missing: '\(parameter)'"), "\(error)")
    }

    @Test func `weights of another family are refused`() throws {
        let clip = VisionFixture.all[0]
        for family in VisionFamily.allCases where family != .clip {
            var configuration = clip.configuration()
            configuration.family = family
            let vision = try VisionTransformer(configuration)
            let error = try #require(throws: CheckpointError.self) { try vision.load(clip.weights()) }
            #expect(error.kind == .mismatch && error.description.contains("missing"))
        }
    }
}

@Suite("Vision families")
struct VisionFamilyTests {
    private func decode(_ json: String) throws -> VisionConfiguration {
        try JSONDecoder().decode(VisionConfiguration.self, from: Data(json.utf8))
    }

    @Test(arguments: VisionFamily.allCases)
    func `a family named in a recipe has its published sizes, and is written`(family: VisionFamily) throws {
        let configuration = try decode(#"{"family": "\#(family.rawValue)"}"#)
        #expect(configuration == family.published && configuration == VisionConfiguration(family: family))
        #expect(configuration.family == family)
        let data = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(VisionConfiguration.self, from: data) == configuration)
    }

    @Test func `no family is EVA-CLIP, and is written as before there were others`() throws {
        #expect(try decode("{}") == VisionFamily.evaCLIP.published)
        let written = try JSONEncoder().encode(VisionConfiguration())
        let keys = try #require(JSONSerialization.jsonObject(with: written) as? [String: Any]).keys
        #expect(Set(keys) == ["imageSize", "patchSize", "hiddenSize", "layerCount", "headCount", "mlpRatio"])
    }

    @Test func `image sizes and layers of a family can be others`() throws {
        let large = try decode(#"{"family": "clip", "imageSize": 336, "layerCount": 24}"#)
        #expect(large.patchCount == 576 && large.layerCount == 24 && large.hiddenSize == 1024)
        #expect(try decode(#"{"family": "biomedCLIP"}"#).patchCount == 196)
        #expect(throws: DecodingError.self) { try decode(#"{"family": "biomedCLIP", "imageSize": 230}"#) }
        #expect(throws: DecodingError.self) { try decode(#"{"family": "dino"}"#) }
    }
}
