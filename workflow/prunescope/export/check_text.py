"""A fixed text on which an export must agree with its checkpoint: prose, numbers, other scripts, code."""

CHECK_TEXT = """\
The lighthouse stands on a spit of gravel that the tide covers twice a day. Until 1923 a keeper lived there with \
his family; since then a lamp that needs no keeper has burned in his place, and the house below it has been let to \
people who like to be alone. Whoever rents it is told three things: the road is under water for about four hours, \
the well is good, and the door must be shut against the wind before the lamp is lit.

In the first week most guests walk the whole length of the shore. In the second they stay by the stove and read. \
By the third, as one of them wrote in the visitors' book, "you no longer look at the clock, you look at the water". \
The book has 412 pages, of which 37 are empty, 9 were torn out and the others hold the usual mixture of thanks, \
drawings, recipes for fish, and complaints about the chimney. A doctor from Lyon noted the air pressure every \
morning, from 998.4 to 1,031.7 hPa, and added nothing else.

What is known of the building? It was begun in 1811 and finished in 1814, it is 28.5 metres high, and its light can \
be seen from a distance of 19 nautical miles. The walls are two metres thick at the base. When the engineers came to \
measure them in 1987 they found that the tower leaned by 0.3 degrees to the east, which is not much, and that it had \
leaned by exactly as much in the drawings of the architect. Nobody has been able to say whether that was a mistake.

    def seconds_of_light(night_hours: float, period: float = 12.5, flash: float = 0.75) -> float:
        # The lamp shows one flash in every period.
        flashes = int(night_hours * 3600 / period)
        return flashes * flash

On the map it is called Le Phare de la Grève, on older ones Grève-du-Nord; German sailors wrote "Strandfeuer, \
weiß, alle 12½ s". The name in the pilot book of the Russian navy is маяк, which only means lighthouse. A Japanese \
student left the single line 灯台は静かです, and below it someone has drawn a cat :-) with the price of milk \
(1.20 €/l, i.e. too much).

The keeper's daughter came back once, at the age of ninety. She did not climb the stairs. She asked for a glass of \
water from the well, drank it, said that it tasted as it always had, and sat on the bench by the door until the car \
had to leave because of the tide.
"""
