"""Who acts: consumers and sharers as array kernels over the crowd, KOLs, merchants and fraud rings as mesa agents."""
