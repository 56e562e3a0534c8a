import Foundation
import Testing
import UniMedData
import UniMedImporters

@Suite("MedPix importer")
struct MedPixImporterTests {
    private struct Entry {
        var name: String
        var type = "CT"
        var caseName = "MPX1"
        var plane: String? = "Axial"
        var sequence = "CT - noncontrast"
        var caption = "A mass."
        var region = "Head"
        var location = "Brain and Neuro"

        var json: String {
            let plane = plane.map { "\"\($0)\"" } ?? "null"
            return #"{"Type":"\#(type)","U_id":"\#(caseName)","image":"\#(name)","Description":{"ACR Codes":"1","#
                + #""Age":"4","Caption":"\#(caption)","Figure Part":null,"Modality":"\#(sequence)","Plane":\#(plane),"#
                + #""Sex":"male"},"Location":"\#(location)","Location Category":"\#(region)"}"#
        }
    }

    private func layOut(
        _ folder: MadeFolder,
        _ entries: [Entry],
        splits: [String: [String]]? = ["train": ["MPX1"], "dev": ["MPX2"]]
    ) throws {
        try folder.write("[\(entries.map(\.json).joined(separator: ",\n"))]", to: "Descriptions.json")
        for entry in entries { try folder.writePicture("images/\(entry.name).png") }
        for (name, cases) in splits ?? [:] {
            let lines = cases.map { #"{"Type":"CT","U_id":"\#($0)","image":"x"}"# }
            try folder.write(lines.joined(separator: "\n"), to: "splitted_dataset/descriptions_\(name).jsonl")
        }
    }

    @Test func `an image gives a report, three questions and a class`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            [
                Entry(name: "a", type: "MR", plane: "Transverse", sequence: " MR - Montage", caption: #"One\n\n two."#)
            ]
        )
        let (dataset, report) = try runImport("medpix", folder.url)
        let samples = Dictionary(uniqueKeysWithValues: dataset.samples.map { ($0.id, $0) })
        #expect(samples.count == 5)
        #expect(samples["a rg"]?.answer == "One two.")
        #expect(samples["a vqa modality"]?.answer == "MR")
        #expect(samples["a vqa modality"]?.choices == ["CT", "MR"])
        #expect(samples["a vqa plane"]?.answer == "axial")
        #expect(samples["a vqa region"]?.answer == "head")
        let category = try #require(samples["a cls region"])
        #expect(category.answer == "head")
        #expect(
            category.question
                == "Which category does this image belong to: abdomen, head, reproductive and urinary system, "
                + "spine and muscles, or thorax?"
        )
        #expect(category.image == ImageReference(path: "images/a.png", width: 20, height: 10))
        #expect(category.group == "MPX1" && category.split == .train)
        let fields = [
            "modality": "MR", "plane": "axial", "region": "head", "location": "brain and neuro",
            "sequence": "MR - Montage",
        ]
        #expect(category.fields == fields)
        #expect(dataset.annotations.count == 1)
        #expect(dataset.annotations[0].fields == fields && dataset.annotations[0].text == "One two.")
        #expect(report.tallies["image"]?.imported == 1)
    }

    @Test(arguments: [
        "Drawing", "Photograph", "NOS - Not specified", "Multiple or Montage", "Other View (see caption)",
        "3D Reconstruction", "Frontal", "AP", nil,
    ])
    func `a plane that is none is left out and counted`(plane: String?) throws {
        let folder = try MadeFolder()
        try layOut(folder, [Entry(name: "a", plane: plane)])
        let (dataset, report) = try runImport("medpix", folder.url)
        #expect(!dataset.samples.contains { $0.questionKind == "plane" })
        #expect(report.tallies["vqa plane"]?.skippedCount == 1)
        #expect(dataset.annotations[0].fields["plane"] == nil)
        let isScan = !["Drawing", "Photograph"].contains(plane)
        #expect(dataset.samples.contains { $0.questionKind == "modality" } == isScan)
    }

    @Test func `placeholders, unknown types and regions are left out and counted`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            [
                Entry(name: "a", type: "US", caption: "REPLACE THIS - DESCRIPTION OF THE IMAGE"),
                Entry(name: "b", caption: " ", region: "Elsewhere", location: "Left Blank"),
            ]
        )
        let (dataset, report) = try runImport("medpix", folder.url)
        #expect(
            dataset.samples.map(\.id) == [
                "a vqa plane", "a vqa region", "a cls region", "b vqa modality", "b vqa plane",
            ]
        )
        #expect(report.tallies["rg"]?.skipped == ["the caption is a placeholder": 1, "no caption": 1])
        #expect(report.tallies["vqa modality"]?.skipped == ["the type is neither CT nor MR": 1])
        #expect(report.tallies["cls region"]?.skipped == ["not a location category: elsewhere": 1])
        #expect(dataset.annotations[1].fields["location"] == nil)
    }

    @Test func `cases keep to the split files, cases in none are skipped`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            [
                Entry(name: "a"), Entry(name: "b", caseName: "MPX2"), Entry(name: "c", caseName: "MPX3"),
            ]
        )
        // Parts of the training split are listed in files of their own and are not splits.
        try folder.write(#"{"U_id":"MPX2"}"#, to: "splitted_dataset/descriptions_train_1.jsonl")
        let (dataset, report) = try runImport("medpix", folder.url)
        #expect(dataset.annotations.map(\.split) == [.train, .validation])
        #expect(report.tallies["image"]?.skipped == ["the case is in no split": 1])
        #expect(report.tallies["rg"]?.found == 3)
    }

    @Test func `without split files the cases are divided`() throws {
        let folder = try MadeFolder()
        let entries = (0..<20).map { Entry(name: "i\($0)", caseName: "MPX\($0 / 2)") }
        try layOut(folder, entries, splits: nil)
        let (dataset, _) = try runImport("medpix", folder.url)
        #expect(dataset.annotations.count { $0.split == .validation } == 4)
    }

    @Test func `a case in two splits is an error that names the line`() throws {
        let folder = try MadeFolder()
        try layOut(folder, [Entry(name: "a")], splits: ["train": ["MPX1"], "dev": ["MPX2", "MPX1"]])
        let error = try #require(importError { _ = try runImport("medpix", folder.url) })
        #expect(error.description.contains("descriptions_dev.jsonl, line 2, field 'U_id'"))
        #expect(error.description.contains("also in the train split"))
    }

    @Test func `missing, damaged, repeated and outside images are skipped and counted`() throws {
        let folder = try MadeFolder()
        try layOut(folder, [Entry(name: "a"), Entry(name: "b"), Entry(name: "a"), Entry(name: "c")])
        try folder.remove("images/b.png")
        try folder.write("not a picture", to: "images/c.png")
        let text = try String(contentsOf: folder.file("Descriptions.json"), encoding: .utf8)
        try folder.write(text.dropLast() + "," + Entry(name: "../b").json + "]", to: "Descriptions.json")
        let (dataset, report) = try runImport("medpix", folder.url)
        #expect(dataset.samples.count == 5)
        let skipped = try #require(report.tallies["image"]?.skipped)
        #expect(skipped.values.reduce(0, +) == 4)
        #expect(skipped["no image file"] == 1 && skipped["the image is listed twice"] == 1)
        #expect(skipped["no image name"] == 1)
        #expect(skipped.keys.contains { $0.hasPrefix("the image cannot be read") })
    }

    @Test func `a description of the wrong type is skipped and named by its field`() throws {
        let folder = try MadeFolder()
        try folder.write(#"[{"Type":"CT"},{"Description":{"Plane":3}}]"#, to: "Descriptions.json")
        let skipped = try runImport("medpix", folder.url).report.tallies["image"]?.skipped
        #expect(skipped?["field 'Description.Plane': expected text, found another type"] == 1)
    }

    // Skipped where the real data are not there. The counts are those of the data sheet.
    @Test(.enabled(if: RealData.has("medpix2")))
    func `the subset has 600 images of 165 cases`() throws {
        let (dataset, report) = try runImport("medpix", RealData.root.appendingPathComponent("medpix2"))
        #expect(report.tallies["image"]?.imported == 600 && dataset.annotations.count == 600)
        #expect(dataset.annotations.count { $0.split == .train } == 520)
        #expect(dataset.annotations.count { $0.split == .validation } == 80)
        #expect(Set(dataset.samples.filter { $0.split == .train }.compactMap(\.group)).count == 140)
        #expect(Set(dataset.samples.filter { $0.split == .validation }.compactMap(\.group)).count == 25)
        func answers(_ kind: String) -> [String: Int] {
            Dictionary(grouping: dataset.samples.filter { ImportReport.kind(of: $0) == kind }, by: \.answer)
                .mapValues(\.count)
        }
        #expect(answers("vqa plane") == ["axial": 366, "coronal": 88, "sagittal": 72])
        let regions = [
            "head": 243, "spine and muscles": 112, "abdomen": 98, "thorax": 76, "reproductive and urinary system": 71,
        ]
        #expect(answers("vqa region") == regions)
        #expect(answers("cls region") == regions)
        // 7 photographs, 4 of gross pathology, 3 drawings (two of them of axial images) are not CT or MR.
        #expect(report.tallies["vqa modality"]?.skippedCount == 14)
        #expect(answers("vqa modality").values.reduce(0, +) == 586)
        #expect(report.tallies["rg"]?.skipped == ["the caption is a placeholder": 18])
        #expect(dataset.annotations.allSatisfy { (96...512).contains($0.image.width) })
        #expect(dataset.annotations.allSatisfy { (112...961).contains($0.image.height) })
    }
}
