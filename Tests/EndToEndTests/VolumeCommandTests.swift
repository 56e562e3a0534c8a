import Foundation
import Testing
import UniMedData

@Suite("Volumes on the command line")
struct VolumeCommandTests {
    private static let recipe = TinyRun.recipe
        .replacingOccurrences(of: "name: tiny", with: "name: tiny-volumes")
        .replacingOccurrences(of: "phantoms, count: 24", with: "volume-phantoms, count: 16")
        .replacingOccurrences(of: "imageSize: 64", with: "imageSize: 32")
        .replacingOccurrences(of: "patchSize: 16", with: "patchSize: 8")
        .replacingOccurrences(
            of: "  resampler: {method: projection, rate: 4}\n",
            with: "  resampler: {method: projection, rate: 4}\n"
                + "  volume: {slices: 5, choice: content, jitter: true, tokens: 8}\n"
        )

    @Test func `volumes are prepared, looked at, trained on, evaluated and asked about`() throws {
        let folder = try TemporaryFolder()
        let recipe = try folder.write(Self.recipe, to: "recipe.yaml")
        let prepared = try Program.run(["data", "prepare", recipe, "-o", folder.path("prepared")])
        #expect(prepared.status == 0, "\(prepared.errors)")
        let data = try PreparedData.open(at: folder.url.appendingPathComponent("prepared"))
        #expect(data.samples.allSatisfy { $0.image?.volume != nil } && !data.samples.isEmpty)

        let verified = try Program.run(["data", "verify", folder.path("prepared")])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
        let stats = try Program.run(["data", "stats", folder.path("prepared"), "--allow-leaks"])
        #expect(stats.status == 0 && stats.output.contains("16 images, 16 of them volumes"), "\(stats.output)")
        let browsed = try Program.run(
            ["data", "browse", folder.path("prepared"), "-o", folder.path("page.html"), "--slices", "6"]
        )
        #expect(browsed.status == 0, "\(browsed.errors)")
        let page = try String(contentsOfFile: folder.path("page.html"), encoding: .utf8)
        #expect(page.contains("data:image/png;base64,") && page.contains("axial"))

        let trained = try TinyRun.train(in: folder)
        #expect(trained.status == 0, "\(trained.errors)")
        let (run, cache) = (folder.path("run"), folder.path("data"))
        let evaluated = try Program.run(["evaluate", run, "--data-folder", cache, "-o", folder.path("out")])
        #expect(evaluated.status == 0, "\(evaluated.errors)")
        #expect(evaluated.output.contains("rec") && evaluated.output.contains("cls"))
        #expect(FileManager.default.fileExists(atPath: folder.path("out/report.html")))

        // A grey PNG of one pixel, the same for every slice.
        let pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
        let picture = try #require(Data(base64Encoded: pixel))
        let slices = folder.url.appendingPathComponent("slices")
        try FileManager.default.createDirectory(at: slices, withIntermediateDirectories: true)
        for slice in 0..<7 {
            try picture.write(to: slices.appendingPathComponent("\(slice).png"))
        }
        let ask = ["ask", "-m", run, "-i", slices.path, "--spacing", "2.5", "--json"]
        let found = try Program.run(ask + ["-t", "rec", "lesion", "--constrained", "--maximum-new-tokens", "40"])
        #expect(found.status == 0, "\(found.errors)")
        struct Found: Decodable { let voxelBox: BoundingBox3D? }
        let box = try #require(try JSONDecoder().decode(Found.self, from: Data(found.output.utf8)).voxelBox)
        #expect(box.slices.start >= 0 && box.slices.end <= 7 && box.volume > 0)
        let named = try Program.run(ask + ["-t", "reg", "--box", "0,0,1,1,2,4"])
        #expect(named.status == 0, "\(named.errors)")
        for wrong in [["-t", "reg", "--box", "0,0,1,1"], ["-t", "reg", "--box", "0,0,1,1,2,7"]] {
            let refused = try Program.run(ask + wrong)
            #expect(refused.status == 2 && refused.failureLines.count == 1, "\(refused.errors)")
        }
    }

    @Test func `a recipe of volumes without settings for them names the field`() throws {
        let folder = try TemporaryFolder()
        let text = Self.recipe.split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix("  volume:") }.joined(separator: "\n")
        _ = try folder.write(text, to: "recipe.yaml")
        let refused = try TinyRun.train(in: folder)
        #expect(refused.status != 0 && refused.errors.contains("model.volume"), "\(refused.errors)")
    }
}
