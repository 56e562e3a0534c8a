public import Foundation
import UniMedData

/// The importers by the name that recipes and the command line use.
public struct ImporterRegistry: Sendable {
    /// One importer.
    public struct Entry: Sendable {
        /// The name, which is also the data set's name in the samples unless the options give another.
        public let name: String
        /// What it reads, in one sentence.
        public let summary: String
        private let make: @Sendable (URL, ImportOptions) throws(ImportError) -> any DatasetImporter

        /// Makes an entry.
        public init(
            name: String,
            summary: String,
            make: @escaping @Sendable (URL, ImportOptions) throws(ImportError) -> any DatasetImporter
        ) {
            self.name = name
            self.summary = summary
            self.make = make
        }

        /// Makes the importer of a folder.
        ///
        /// - Parameters:
        ///   - root: The data set's folder.
        ///   - options: The settings.
        /// - Returns: An importer that has not read anything yet.
        /// - Throws: ``ImportError`` when an option is not allowed.
        public func importer(
            root: URL,
            options: ImportOptions = ImportOptions()
        ) throws(ImportError) -> any DatasetImporter {
            var options = options
            options.dataset = options.dataset ?? name
            return try make(root, options)
        }
    }

    /// All importers, in the order in which they are listed.
    public let entries: [Entry]

    /// The importers that come with the library.
    public static let standard = ImporterRegistry(entries: paperSets + medMNIST)

    private static let paperSets: [Entry] = [
        Entry(name: "pubmedqa", summary: "PubMedQA, labelled questions: qa.") { (root, options) throws(ImportError) in
            try PubMedQAImporter(root: root, options: options)
        },
        Entry(name: "medqa", summary: "MedQA, US questions: qa.") { (root, options) throws(ImportError) in
            try MedQAImporter(root: root, options: options)
        },
        Entry(name: "medpix", summary: "MedPix 2.0: rg, vqa, cls.") { (root, options) throws(ImportError) in
            try MedPixImporter(root: root, options: options)
        },
        Entry(name: "bccd", summary: "BCCD blood cells in the layout of Pascal VOC: rec, reg, vqa.") {
            (root, options) throws(ImportError) in
            try PascalVOCImporter(root: root, options: options)
        },
        Entry(name: "pascal-voc", summary: "Any data set in the layout of Pascal VOC: rec, reg, vqa.") {
            (root, options) throws(ImportError) in
            try PascalVOCImporter(root: root, options: options)
        },
        Entry(name: "slake", summary: "SLAKE in English, split 6:1 by image: vqa, rec, reg.") {
            (root, options) throws(ImportError) in
            try SlakeImporter(root: root, options: options)
        },
        Entry(name: "slake-chinese", summary: "SLAKE with the Chinese questions: vqa, rec, reg.") {
            (root, options) throws(ImportError) in
            try SlakeImporter(root: root, options: options, language: .chinese)
        },
        Entry(name: "path-vqa", summary: "PathVQA: vqa.") { (root, options) throws(ImportError) in
            try PathVQAImporter(root: root, options: options)
        },
        Entry(name: "sa-med2d", summary: "SA-Med2D-20M, Uni-Med's number of CT and MR masks: rec, reg.") {
            (root, options) throws(ImportError) in
            try SAMed2DImporter(root: root, options: options)
        },
        Entry(name: "sa-med2d-all", summary: "SA-Med2D-20M, every mask: rec, reg.") {
            (root, options) throws(ImportError) in
            try SAMed2DImporter(root: root, options: options, selection: .all)
        },
        Entry(name: "mimic-cxr", summary: "MIMIC-CXR-JPG with RadFM's reports, Uni-Med's number: rg.") {
            (root, options) throws(ImportError) in
            try MIMICCXRImporter(root: root, options: options)
        },
        Entry(name: "mimic-cxr-all", summary: "MIMIC-CXR-JPG with all of RadFM's reports: rg.") {
            (root, options) throws(ImportError) in
            try MIMICCXRImporter(root: root, options: options, trainCount: nil)
        },
        Entry(name: "mpx-single", summary: "MPx-Single of RadFM: rg.") { (root, options) throws(ImportError) in
            try MPxSingleImporter(root: root, options: options)
        },
        Entry(name: "json-lines", summary: "Samples as JSON lines: all tasks.") { (root, options) throws(ImportError) in
            try SampleLinesImporter(root: root, options: options)
        },
        Entry(name: "llava", summary: "LLaVA conversations: all tasks.") { (root, options) throws(ImportError) in
            try ConversationImporter(root: root, options: options)
        },
        Entry(name: "csv", summary: "A table of images and labels: cls.") { (root, options) throws(ImportError) in
            try LabelTableImporter(root: root, options: options)
        },
        Entry(name: "class-folders", summary: "A folder of images per class: cls.") {
            (root, options) throws(ImportError) in
            try ClassFolderImporter(root: root, options: options)
        },
        Entry(name: "dicom", summary: "A folder of DICOM files and a table of questions and answers: all but qa.") {
            (root, options) throws(ImportError) in
            try DICOMImporter(root: root, options: options)
        },
        Entry(name: "coco", summary: "Boxes in the layout of COCO: rec, reg.") { (root, options) throws(ImportError) in
            try COCOImporter(root: root, options: options)
        },
        Entry(name: "masks", summary: "Label masks with a list of names: rec, reg.") {
            (root, options) throws(ImportError) in
            try LabelMaskImporter(root: root, options: options)
        },
    ]

    /// The sets of MedMNIST v2, each by the name of its file.
    private static let medMNIST = MedMNISTImporter.subsets.map { subset in
        Entry(name: subset.name, summary: "MedMNIST v2, \(subset.name)\(subset.isVolume ? ", volumes" : ""): cls.") {
            (root, options) throws(ImportError) in
            try MedMNISTImporter(root: root, subset: subset.name, options: options)
        }
    }

    /// Makes a registry.
    ///
    /// - Precondition: The names differ.
    public init(entries: [Entry]) {
        precondition(Set(entries.map(\.name)).count == entries.count, "every importer has a name of its own")
        self.entries = entries
    }

    /// The entry of a name.
    ///
    /// - Throws: ``ImportError`` that lists the names there are.
    public func entry(named name: String) throws(ImportError) -> Entry {
        guard let entry = entries.first(where: { $0.name == name }) else {
            let names = entries.map(\.name).joined(separator: ", ")
            throw ImportError(.invalid, "no importer is called '\(name)'; there are \(names)", field: "importer")
        }
        return entry
    }
}
