"""The picture of a terminal session."""

import xml.etree.ElementTree as ElementTree

from tools.record_terminal import draw

HALFWAY = """Using workflow specific profile
makes: the data set, a teacher
✓ Training the teacher for 8 epochs  0:17
▸ Pruning with lamp to a sparsity of 0.9  0:10 left
  epoch 3/6  ━━━╸     1,234 images/s
━━━━━━╸           3/27 jobs  1:02, about 1:20 left, until 21:14"""
END = """noise
candidate       score   accuracy
→ lamp/seed_0  0.9934     0.9917
report:     demo/results/report.html"""


def test_it_shows_both_moments_and_needs_nothing_from_elsewhere():
    picture = draw(HALFWAY, END, 80)
    ElementTree.fromstring(picture)
    assert "url(http" not in picture and "@font-face" not in picture
    assert len(picture.encode()) < 60_000
    text = picture.replace("&#160;", " ")
    assert "Training the teacher for 8 epochs" in text
    assert "demo/results/report.html" in text
    assert "noise" not in text and "Using workflow" not in text
