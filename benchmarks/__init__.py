"""Hot paths measured against a floor in the same run. Ratios are the result; absolute times belong to one machine."""
