from shears.data.digits import read_digits


def test_digits_are_real_images_of_all_classes():
    rest, test = read_digits(seed=0)
    assert rest.images.shape == (1500, 32, 32, 3)
    assert test.images.shape == (297, 32, 32, 3)
    assert rest.images.max() == 255
    assert set(rest.labels) == set(test.labels) == set(range(10))
