import Foundation
import Testing
import UniMedData
import UniMedReports

@Suite("Data page")
struct DataPageTests {
    private let page = DataPage(
        title: "Prepared <data>",
        facts: [ReportFact("Samples", "2")],
        sections: [
            DataPage.Section(
                dataset: "mine & yours",
                split: .validation,
                task: .referringExpressionComprehension,
                count: 7,
                cards: [
                    DataCard(
                        name: "sample 1",
                        picture: SampleCard.Picture(png: Data([1, 2, 3]), width: 64, height: 32),
                        box: BoundingBox(xMin: 4, yMin: 8, xMax: 20, yMax: 10),
                        prompt: "[INST] <Img><ImageHere></Img> [refer] Where?  [/INST]",
                        target: "{<1><2><3><4>}</s>",
                        facts: [ReportFact("modality", "CT")]
                    )
                ]
            ),
            DataPage.Section(
                dataset: "qa set",
                split: .train,
                task: .questionAnswering,
                count: 1,
                cards: [DataCard(name: "sample 1", prompt: "Why?", target: "So")]
            ),
        ]
    )

    @Test func `prompts, targets, pictures and boxes are in the page, escaped`() {
        let html = page.html()
        #expect(html.contains("Prepared &lt;data&gt;"))
        #expect(html.contains("mine &amp; yours, validation, <code>rec</code>"))
        #expect(html.contains("[INST] &lt;Img&gt;&lt;ImageHere&gt;&lt;/Img&gt; [refer] Where?  [/INST]"))
        #expect(html.contains("{&lt;1&gt;&lt;2&gt;&lt;3&gt;&lt;4&gt;}&lt;/s&gt;"))
        #expect(html.contains("data:image/png;base64,AQID"))
        #expect(html.contains(#"viewBox="0 0 64.0 32.0""#))
        #expect(html.contains(#"x="4.0" y="8.0" width="16.0" height="2.0""#))
        #expect(html.components(separatedBy: "<img ").count == 2)
        #expect(html.components(separatedBy: "<svg ").count == 2)
        #expect(html.contains("modality <b>CT</b>"))
    }

    @Test func `the page needs no other file and lists every section`() {
        let html = page.html()
        #expect(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"))
        #expect(html.contains("<a href=\"#section-1\">") && html.contains("id=\"section-2\""))
        #expect(html.hasPrefix("<!DOCTYPE html>") && html.contains("</html>"))
    }
}
