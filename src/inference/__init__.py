"""From cells of counts to a posterior; the only folder that imports PyMC."""
