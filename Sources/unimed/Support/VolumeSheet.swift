import Foundation
import UniMedData
import UniMedImaging
import UniMedReports

/// A volume of prepared data as one picture: its chosen slices side by side, with boxes on those that they span.
struct VolumeSheet {
    /// The colour of annotated boxes, that of report pages.
    static let annotated = RGBColor(red: 88, green: 166, blue: 255)

    private var sheet: ContactSheet
    private let slices: [Int]
    private let size: Int

    /// Lays out the chosen slices of a sample's volume; `nil` for anything else, or when a slice is missing.
    init?(_ sample: Sample, in data: PreparedData, selection: SliceSelection) {
        guard sample.image?.volume != nil, let positions = data.images.positions(of: sample) else { return nil }
        size = data.images.size
        slices = selection.slices(weights: data.images.sliceWeights(at: positions, for: selection))
        let side = size
        sheet = ContactSheet(
            slices.map { slice in
                let pixels = data.images.withPixels(at: positions[slice]) { [UInt8]($0) }
                return RGBImage(width: side, height: side, pixels: pixels)
            }
        )
    }

    /// Draws a box on the slices that it spans.
    mutating func draw(_ box: BoundingBox3D, of image: ImageReference, color: RGBColor) {
        guard image.width > 0, image.height > 0 else { return }
        let (x, y) = (Double(size) / Double(image.width), Double(size) / Double(image.height))
        for (number, slice) in slices.enumerated() where box.slices.contains(slice: slice) {
            sheet.strokeRectangle(
                on: number,
                xMin: box.box.xMin * x,
                yMin: box.box.yMin * y,
                xMax: box.box.xMax * x,
                yMax: box.box.yMax * y,
                color: color
            )
        }
    }

    /// The sheet for a page.
    func picture() throws -> SampleCard.Picture {
        let image = sheet.image
        return SampleCard.Picture(
            png: Data(try PNGEncoder.encode(image)),
            width: image.width,
            height: image.height
        )
    }
}
