import Foundation
import Testing
import UniMedData
import UniMedImporters

@Suite("Pascal VOC importer")
struct PascalVOCImporterTests {
    private typealias Object = (name: String, box: [String])

    private func xml(_ objects: [Object], width: Int = 20, height: Int = 10, root: String = "annotation") -> String {
        let list = objects.map { object in
            let edges = zip(["xmin", "ymin", "xmax", "ymax"], object.box).map { "<\($0)>\($1)</\($0)>" }.joined()
            return "<object><name>\(object.name)</name><difficult>0</difficult><bndbox>\(edges)</bndbox></object>"
        }
        return """
            <\(root)>
              <filename>elsewhere.jpg</filename><path>/home/someone/elsewhere.jpg</path>
              <size><width>\(width)</width><height>\(height)</height><depth>3</depth></size>
              \(list.joined(separator: "\n"))
            </\(root)>
            """
    }

    private func layOut(_ folder: MadeFolder, _ images: [String: [Object]]) throws {
        for (id, objects) in images {
            try folder.write(xml(objects), to: "Annotations/\(id).xml")
            try folder.writePicture("JPEGImages/\(id).png")
        }
    }

    private let white: Object = ("WBC", ["2", "1", "9.5", "8"])
    private let red: Object = ("RBC", ["0", "0", "20", "10"])
    private let point: Object = ("WBC", ["5", "5", "5", "5"])

    @Test func `unique names are referred to, all names are counted, all boxes are kept`() throws {
        let folder = try MadeFolder()
        try layOut(folder, ["a": [red, white, red], "b": []])
        try folder.write("a\n", to: "ImageSets/Main/train.txt")
        try folder.write("b\n", to: "ImageSets/Main/val.txt")
        try folder.write("a\nb\n", to: "ImageSets/Main/trainval.txt")
        let (dataset, report) = try runImport("bccd", folder.url)
        let samples = Dictionary(uniqueKeysWithValues: dataset.samples.map { ($0.id, $0) })
        #expect(
            samples.keys.sorted() == [
                "a count RBC", "a count WBC", "a rec WBC", "a reg WBC", "b count RBC", "b count WBC",
            ]
        )
        let box = BoundingBox(xMin: 2, yMin: 1, xMax: 9.5, yMax: 8)
        #expect(samples["a rec WBC"]?.box == box && samples["a rec WBC"]?.answer == "")
        #expect(samples["a reg WBC"]?.box == box && samples["a reg WBC"]?.answer == "WBC")
        #expect(samples["a count RBC"]?.question == "How many RBC are in the image?")
        #expect(samples["a count RBC"]?.answer == "2" && samples["b count RBC"]?.answer == "0")
        #expect(samples["a count RBC"]?.split == .train && samples["b count RBC"]?.split == .validation)
        #expect(samples["a count RBC"]?.image == ImageReference(path: "JPEGImages/a.png", width: 20, height: 10))
        #expect(dataset.annotations.map(\.objects.count) == [3, 0])
        #expect(report.tallies["box"]?.imported == 3)
        #expect(report.tallies["rec"]?.skipped == ["the name is not unique in the image": 2])
    }

    @Test func `boxes without area, outside, without numbers or names are rejected and counted`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            [
                "a": [
                    point, ("RBC", ["0", "0", "21", "5"]), ("RBC", ["-1", "0", "2", "5"]),
                    ("RBC", ["1", "1", "2", "x"]),
                    ("RBC", ["1", "1", "nan", "5"]), (" ", ["1", "1", "2", "5"]), ("Platelets", ["3", "3", "4", "4"]),
                ]
            ]
        )
        let (dataset, report) = try runImport("bccd", folder.url)
        let skipped = try #require(report.tallies["box"]?.skipped)
        #expect(
            skipped == [
                "the box has no area": 1, "the box leaves the image": 2, "the box has no four numbers": 1,
                "the box has an edge that is not finite": 1, "the object has no name": 1,
            ]
        )
        #expect(dataset.annotations[0].objects.map(\.name) == ["Platelets"])
        #expect(
            dataset.samples.filter { $0.task == .referringExpressionComprehension }.map(\.objectName) == ["Platelets"]
        )
        #expect(dataset.samples.first { $0.questionKind == "count WBC" }?.answer == "0")
    }

    @Test func `a name that occurs twice is not unique, even if one box is rejected`() throws {
        let folder = try MadeFolder()
        try layOut(folder, ["a": [white, point]])
        let (dataset, _) = try runImport("bccd", folder.url)
        #expect(!dataset.samples.contains { $0.task == .referringExpressionGeneration })
    }

    @Test func `names can be replaced by words`() throws {
        let folder = try MadeFolder()
        try layOut(folder, ["a": [white]])
        let options = ImportOptions(objectNames: ["WBC": "white blood cell"])
        let samples = try runImport("bccd", folder.url, options: options).dataset.samples
        #expect(samples.map(\.id) == ["a rec white blood cell", "a reg white blood cell", "a count white blood cell"])
    }

    @Test func `images without their other half, and unreadable ones, are skipped and counted`() throws {
        let folder = try MadeFolder()
        try layOut(folder, ["a": [white], "b": [], "c": [], "d": [], "e": [], "f": [], "g": [], "h": []])
        try folder.remove("JPEGImages/b.png")
        try folder.remove("Annotations/c.xml")
        try folder.write("<annotation><object>", to: "Annotations/d.xml")
        try folder.write("text", to: "JPEGImages/e.png")
        try folder.write(xml([], width: 21), to: "Annotations/f.xml")
        try folder.write(xml([], root: "other"), to: "Annotations/g.xml")
        try folder.write("a\nb\nc\nd\ne\nf\ng\n", to: "ImageSets/Main/train.txt")
        let (dataset, report) = try runImport("bccd", folder.url)
        #expect(dataset.annotations.map(\.image.path) == ["JPEGImages/a.png"])
        let tally = try #require(report.tallies["image"])
        #expect(tally.found == 8 && tally.imported == 1 && tally.skipped.count == 7)
        for reason in [
            "no image file", "no annotation file", "in no split's list", "the annotation's size is not the image's",
            "the annotation cannot be read: not valid XML",
        ] {
            #expect(tally.skipped[reason] == 1, "\(reason)")
        }
    }

    @Test func `an unknown size in the annotation is not held against it`() throws {
        let folder = try MadeFolder()
        try layOut(folder, ["a": [white]])
        try folder.write(xml([white], width: 0, height: 0), to: "Annotations/a.xml")
        #expect(try runImport("bccd", folder.url).dataset.samples.count == 3)
    }

    @Test func `an image in two splits is an error that names the line`() throws {
        let folder = try MadeFolder()
        try layOut(folder, ["a": [white]])
        try folder.write("a\n", to: "ImageSets/Main/train.txt")
        try folder.write("\na\n", to: "ImageSets/Main/val.txt")
        let error = try #require(importError { _ = try runImport("bccd", folder.url) })
        #expect(error.description.contains("ImageSets/Main/val.txt, line 2: a is also in the train split"))
    }

    @Test func `a folder of another layout is said to be one`() throws {
        let folder = try MadeFolder()
        let error = try #require(importError { _ = try runImport("bccd", folder.url) })
        #expect(error.description.contains("no folder Annotations in it"))
        for path in ["Annotations", "JPEGImages"] {
            try FileManager.default.createDirectory(at: folder.file(path), withIntermediateDirectories: true)
        }
        let empty = try #require(importError { _ = try runImport("bccd", folder.url) })
        #expect(empty.description.contains("no image and no annotation in it"))
    }

    // Skipped where the real data are not there. The counts are those of the data sheet.
    @Test(.enabled(if: RealData.has("bccd")))
    func `the blood cells are 292 images with two boxes without area`() throws {
        let (dataset, report) = try runImport("bccd", RealData.root.appendingPathComponent("bccd"))
        #expect(report.tallies["image"]?.imported == 292)
        #expect(dataset.annotations.count { $0.split == .train } == 205)
        #expect(dataset.annotations.count { $0.split == .validation } == 87)
        let boxes = try #require(report.tallies["box"])
        #expect(boxes.found == 2382 + 214 + 209 + 968 + 87 + 83)
        #expect(boxes.skipped == ["the box has no area": 2])
        #expect(
            report.examples["box: the box has no area"]?.map { $0.prefix(16) } == [
                "BloodImage_00338", "BloodImage_00343",
            ]
        )
        func count(_ name: String, _ split: Split) -> Int {
            dataset.annotations.filter { $0.split == split }.reduce(0) { sum, annotation in
                sum + annotation.objects.count { $0.name == name }
            }
        }
        #expect(count("RBC", .train) == 2381 && count("WBC", .train) == 214 && count("Platelets", .train) == 209)
        #expect(
            count("RBC", .validation) == 967 && count("WBC", .validation) == 87 && count("Platelets", .validation) == 83
        )
        // White cells are alone in 279 images, platelets in 77; red cells never.
        let names = dataset.samples.filter { $0.task == .referringExpressionGeneration }.map(\.answer)
        #expect(Dictionary(grouping: names) { $0 }.mapValues(\.count) == ["WBC": 279, "Platelets": 77])
        #expect(dataset.samples.count { $0.task == .visualQuestionAnswering } == 292 * 3)
    }
}
