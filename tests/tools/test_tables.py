from planet.tools import tables


def test_columns_are_as_wide_as_their_longest_entries():
    table = tables.markdown(["a", "number"], [["long word", 1], ["b", 23.5]])
    assert table.splitlines() == [
        "| a         | number |",
        "| --------- | ------ |",
        "| long word | 1      |",
        "| b         | 23.5   |",
    ]
