import Testing
import UniMedImaging

@Suite("Contact sheets")
struct ContactSheetTests {
    private func pictures(_ count: Int) -> [RGBImage] {
        (0..<count).map { RGBImage(width: 4, height: 3, color: RGBColor(red: UInt8($0 + 1), green: 0, blue: 0)) }
    }

    @Test func `pictures stand in order, with black between them`() {
        let sheet = ContactSheet(pictures(5), gap: 2)
        #expect(sheet.columns == 3 && sheet.image.width == 16 && sheet.image.height == 8)
        for number in 0..<5 {
            let (left, top) = sheet.origin(of: number)
            for (x, y) in [(0, 0), (3, 0), (0, 2), (3, 2)] {
                #expect(sheet.image[left + x, top + y].red == UInt8(number + 1))
            }
        }
        #expect(sheet.image[4, 0].red == 0 && sheet.image[0, 3].red == 0 && sheet.image[15, 7].red == 0)
        #expect(ContactSheet(pictures(1)).image == pictures(1)[0])
    }

    @Test func `a box is drawn on its picture alone`() {
        var sheet = ContactSheet(pictures(4), gap: 0)
        let plain = sheet.image
        sheet.strokeRectangle(on: 3, xMin: -5, yMin: 0, xMax: 99, yMax: 3, color: .prediction)
        for y in 0..<plain.height {
            for x in 0..<plain.width where x < 4 || y < 3 { #expect(sheet.image[x, y] == plain[x, y]) }
        }
        #expect(sheet.image[4, 3] == .prediction && sheet.image[7, 5] == .prediction)
        #expect(sheet.image[5, 4] == plain[5, 4])
    }
}
