import Foundation
import Testing
import Torch
import UniMedModel
import UniMedTesting

@Suite("Parity: manifests")
struct ManifestTests {
    @Test(.enabled(if: Roots.exists(Roots.golden), "there is no folder UNIMED_GOLDEN"))
    func `every case of a known family is found and understood`() throws {
        struct Name: Decodable {
            let `case`: String
        }
        let families = ["eva_vit", "llama/", "lora", "connector", "full", "optim"]
        let found = GoldenCase.all()
        for file in Roots.files(named: "manifest.json", below: Roots.golden) {
            guard let name = try? JSONDecoder().decode(Name.self, from: Data(contentsOf: file)).case,
                families.contains(where: { $0.hasSuffix("/") ? name.hasPrefix($0) : name == $0 })
            else { continue }
            let folder = file.deletingLastPathComponent().path
            let golden = try #require(found.first { $0.folder.path == folder }, "\(file.path)")
            switch name {
            case "eva_vit": #expect(try !golden.decode(VisionManifest.self).weights.isEmpty)
            case "connector": #expect(try !golden.decode(ConnectorCase.Manifest.self).cases.isEmpty)
            case "full": _ = try FullCase(golden)
            case "optim": #expect(try !golden.decode(OptimizerCase.Manifest.self).runs.isEmpty)
            default: break
            }
        }
    }

    @Test func `a tolerance is found by its name or by its group`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "unimed-golden-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder.appending(path: "a/b"), withIntermediateDirectories: true)
        let manifest = #"""
            {"case": "tiny", "tolerance": {"values": {
                "output": {"abs": 0.5}, "grad.<parameter>": {"abs": 0.25}, "grad.features": {"abs": 0.125}}}}
            """#
        try Data(manifest.utf8).write(to: folder.appending(path: "a/b/manifest.json"))
        let golden = try #require(GoldenCase.all(below: folder).first)
        #expect(golden.name == "tiny")
        #expect(try golden.tolerance("output") == 0.5)
        #expect(try golden.tolerance("grad.router.fc1.weight") == 0.25)
        #expect(try golden.tolerance("grad.features") == 0.125)
        #expect(throws: GoldenError.self) { try golden.tolerance("loss") }
    }

    @Test func `a comparison says the worst deviation and where it is`() throws {
        let tensor = try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
        let other = try Tensor([1, 2, 3, 4, 5.5, 6.25] as [Float], shape: [2, 3])
        let deviation = try tensor.deviation(from: other)
        #expect(deviation.worst == 0.5)
        #expect(deviation.description == "0.5 at [1, 1]: 5.0 instead of 5.5")
        #expect(try tensor.deviation(from: Tensor([1] as [Float])).worst == .infinity)
        #expect(try Tensor([Float.nan]).deviation(from: Tensor([1] as [Float])).worst == .infinity)
        try withKnownIssue { try expectClose(tensor, other, tolerance: 0.4, "too far") }
        try expectClose(tensor, other, tolerance: 0.5, "just near enough")
    }
}
