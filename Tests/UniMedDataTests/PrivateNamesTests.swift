import Foundation
import Testing
import UniMedData

@Suite("Private names")
struct PrivateNamesTests {
    private let names = PrivateNames(salt: "key")

    @Test func `a name is the same hash each time, and another one with another salt`() {
        let hash = names.text(of: "mimic-cxr/p10001234")
        #expect(hash.hasPrefix("mimic-cxr/#") && hash.count == "mimic-cxr/#".count + 12)
        #expect(!hash.contains("p1000") && !hash.contains("1234"))
        #expect(names.text(of: "mimic-cxr/p10001234") == hash)
        #expect(names.text(of: "mimic-cxr/p10001235") != hash)
        #expect(PrivateNames(salt: "other").text(of: "mimic-cxr/p10001234") != hash)
        // Behind the data set's name everything is hidden, also further folders.
        #expect(!names.text(of: "set/p10/p10001234/a.jpg").dropFirst(4).contains("/"))
        #expect(names.text(of: "p10001234") == names.hash("p10001234"))
    }

    @Test func `folders are not shown`() {
        #expect(names.text(of: URL(fileURLWithPath: "/home/someone/data/manifest.json")) == "manifest.json")
    }

    @Test func `names are shown when they are asked for`() {
        let shown = PrivateNames(salt: "key", areShown: true)
        #expect(shown.text(of: "mimic-cxr/p1") == "mimic-cxr/p1" && shown.hash("p1") == "p1")
        #expect(shown.text(of: URL(fileURLWithPath: "/a/b")) == "/a/b")
    }

    @Test func `a report keeps its counts and hides its examples`() {
        var report = ImportReport()
        report.found(2, "image")
        report.imported(1, "image")
        report.skipped("image", because: "no image file", item: "files/p10/p10001234/x.jpg")
        let hidden = report.showing(names)
        #expect(hidden.tallies == report.tallies)
        #expect(hidden.examples["image: no image file"] == [names.hash("files/p10/p10001234/x.jpg")])
        #expect(report.showing(PrivateNames(salt: "key", areShown: true)) == report)
    }

    @Test func `a finding hides what it is about, not what is wrong`() {
        func finding(_ kind: DataFinding.Kind, _ subject: String) -> DataFinding {
            DataFinding(kind: kind, severity: .error, subject: subject, message: "m").showing(names)
        }
        #expect(finding(.badBox, "set/p10001234").subject == names.text(of: "set/p10001234"))
        #expect(finding(.leak, "set/p10001234").message == "m")
        #expect(finding(.damagedFile, "/home/someone/images-00000.bin").subject == "images-00000.bin")
        #expect(finding(.unbalancedReport, "set").subject == "set")
    }
}
