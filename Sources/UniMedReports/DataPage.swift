public import Foundation
public import UniMedData

/// A sample on a page of data: its picture with its box, and the texts of the model.
public struct DataCard: Sendable, Equatable {
    /// What the page calls the sample.
    public var name: String
    /// The picture; `nil` for question answering.
    ///
    /// Its width and height are the coordinates of ``box``.
    public var picture: SampleCard.Picture?
    /// The box of the prompt or the target, in pixels of the picture.
    public var box: BoundingBox?
    /// What the model reads.
    public var prompt: String
    /// What the model shall write.
    public var target: String
    /// More about the sample, in labelled values.
    public var facts: [ReportFact]

    /// Makes a card.
    public init(
        name: String,
        picture: SampleCard.Picture? = nil,
        box: BoundingBox? = nil,
        prompt: String,
        target: String,
        facts: [ReportFact] = []
    ) {
        self.name = name
        self.picture = picture
        self.box = box
        self.prompt = prompt
        self.target = target
        self.facts = facts
    }
}

/// Samples of data sets as one HTML page that needs no other file.
///
/// Pictures and styles are inside the page, and all text is escaped. The page holds pictures and texts of the data sets, so
/// it belongs where the data belong.
public struct DataPage: Sendable {
    /// The samples of one task in one split of one data set.
    public struct Section: Sendable, Equatable {
        /// The data set's name.
        public var dataset: String
        /// The split.
        public var split: Split
        /// The task.
        public var task: MedicalTask
        /// The number of samples that there are.
        public var count: Int
        /// The samples to show.
        public var cards: [DataCard]

        /// Makes a section.
        public init(dataset: String, split: Split, task: MedicalTask, count: Int, cards: [DataCard]) {
            self.dataset = dataset
            self.split = split
            self.task = task
            self.count = count
            self.cards = cards
        }
    }

    /// The page's title.
    public var title: String
    /// The data in labelled values.
    public var facts: [ReportFact]
    /// Remarks, one paragraph each.
    public var notes: [String]
    /// The samples.
    public var sections: [Section]

    /// Makes a page.
    public init(title: String, facts: [ReportFact] = [], notes: [String] = [], sections: [Section]) {
        self.title = title
        self.facts = facts
        self.notes = notes
        self.sections = sections
    }

    /// The page: a complete HTML document.
    public func html() -> String {
        Templates.renderData([
            "title": title,
            "style": Templates.style,
            "facts": Self.content(facts),
            "notes": notes,
            "sections": sections.enumerated().map { number, section -> [String: Any] in
                [
                    "anchor": "section-\(number + 1)",
                    "dataset": section.dataset,
                    "split": section.split.rawValue,
                    "task": section.task.rawValue,
                    "count": section.count,
                    "shown": section.cards.count,
                    "cards": section.cards.map { Self.content($0, of: section) },
                ]
            },
        ])
    }

    /// Writes the page to a file, which appears complete or not at all.
    ///
    /// - Throws: ``ReportError`` when the file cannot be written.
    public func write(to url: URL) throws(ReportError) {
        do throws(DataError) {
            try AtomicFile.write(Data(html().utf8), to: url)
        } catch {
            throw .fileSystem(path: url.path, reason: error.problem)
        }
    }

    private static func content(_ facts: [ReportFact]) -> [[String: String]] {
        facts.map { ["label": $0.label, "value": $0.value] }
    }

    private static func content(_ card: DataCard, of section: Section) -> [String: Any] {
        var content: [String: Any] = [
            "tag": section.task.promptTag,
            "color": Palette.color(of: section.task),
            "name": card.name,
            "prompt": card.prompt,
            "target": card.target,
            "facts": Self.content(card.facts),
        ]
        if let picture = card.picture {
            var parts: [String: Any] = [
                "data": picture.png.base64EncodedString(), "width": picture.width, "height": picture.height,
                "dataset": section.dataset,
            ]
            if let box = card.box, [box.xMin, box.yMin, box.xMax, box.yMax].allSatisfy(\.isFinite) {
                parts["box"] = [
                    "frameWidth": Double(picture.width), "frameHeight": Double(picture.height), "x": box.xMin,
                    "y": box.yMin, "width": max(0, box.width), "height": max(0, box.height),
                ]
            }
            content["picture"] = parts
        }
        return content
    }
}
