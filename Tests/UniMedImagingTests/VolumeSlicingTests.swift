import Testing
import UniMedImaging

@Suite("Volume slicing")
struct VolumeSlicingTests {
    /// Two slices of three rows and four columns: the value says the place, as 100 slice + 10 row + column.
    private let volume: ImageVolume = {
        var values: [Float] = []
        for slice in 0..<2 {
            for row in 0..<3 {
                for column in 0..<4 { values.append(Float(100 * slice + 10 * row + column)) }
            }
        }
        let affine = [[0.5, 0, 0, 0], [0, 0.75, 0, 0], [0, 0, 5, 0]]
        return ImageVolume(slices: 2, rows: 3, columns: 4, values: values, affine: affine)
    }()

    private func grey(_ picture: RGBImage) -> [UInt8] {
        stride(from: 0, to: picture.pixels.count, by: 3).map { picture.pixels[$0] }
    }

    @Test func `a window maps its ends to black and white and clips beyond`() {
        let slicing = VolumeSlicing(window: .level(center: 60, width: 100))
        #expect(slicing.limits(of: volume) == (10, 110))
        let pictures = slicing.pictures(of: volume)
        #expect(pictures.count == 2 && pictures[0].width == 4 && pictures[0].height == 3)
        #expect(grey(pictures[0]) == [0, 0, 0, 0, 0, 3, 5, 8, 26, 28, 31, 33])
        #expect(grey(pictures[1]) == [230, 232, 235, 237] + [UInt8](repeating: 255, count: 8))
        let pixels = pictures[1].pixels
        #expect(pixels[0] == pixels[1] && pixels[1] == pixels[2])
    }

    @Test func `every axis gives the voxels of its planes`() {
        let wide = VolumeSlicing.Window.level(center: 127.5, width: 255)
        let rows = VolumeSlicing(axis: .rows, window: wide)
        #expect(rows.size(of: volume) == (3, 4, 2, 0.75))
        #expect(grey(rows.pictures(of: volume)[1]) == [10, 11, 12, 13, 110, 111, 112, 113])
        let columns = VolumeSlicing(axis: .columns, window: wide)
        #expect(columns.size(of: volume) == (4, 3, 2, 0.5))
        #expect(grey(columns.pictures(of: volume)[3]) == [3, 13, 23, 103, 113, 123])
        let slices = VolumeSlicing(window: wide)
        #expect(slices.size(of: volume) == (2, 4, 3, 5))
        #expect(grey(slices.pictures(of: volume)[0]) == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23])
    }

    @Test func `percentiles ignore what is not a number, and even volumes have a range`() {
        var values = (0...100).map { Float($0) }
        values += [.nan, .infinity, -.infinity]
        let affine = [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
        let odd = ImageVolume(slices: 1, rows: 1, columns: 104, values: values, affine: affine)
        let slicing = VolumeSlicing(window: .percentiles(lower: 0.1, upper: 0.9))
        #expect(slicing.limits(of: odd) == (10, 90))
        let pixels = grey(slicing.pictures(of: odd)[0])
        #expect(pixels[50] == 128 && pixels[101] == 0 && pixels[102] == 255 && pixels[103] == 0)
        let even = ImageVolume(slices: 1, rows: 1, columns: 2, values: [7, 7], affine: affine)
        let limits = VolumeSlicing().limits(of: even)
        #expect(limits.white > limits.black)
        #expect(grey(VolumeSlicing().pictures(of: even)[0]) == [0, 0])
    }
}
